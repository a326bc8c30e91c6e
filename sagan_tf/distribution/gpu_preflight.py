"""The check of GPUs and their software before anything is computed on them."""

from __future__ import annotations

import logging
import os

import tensorflow as tf

from sagan_tf.distribution.gpu_findings import (
    Finding,
    Gpu,
    examine_gpu,
    examine_packages,
    examine_shared_memory,
    explain_unused_gpu,
)
from sagan_tf.distribution.gpu_software import read_gpu_software
from sagan_tf.environment.cuda import has_nvidia_gpu
from sagan_tf.errors import UserError

VARIABLE = "SAGAN_TF_GPU_PREFLIGHT"

_logger = logging.getLogger("sagan_tf")
_logged: set[str] = set()


def check_gpus(precision: str = "float32", *, only_first: bool = False) -> None:
    """Check the GPUs that this process sees; log what the user should know, each line once in a process.

    It reads versions and computes nothing on a GPU. Without a GPU it says nothing, unless the machine has an NVIDIA GPU
    that TensorFlow does not use.

    Args:
        precision: `float32`, `mixed_bfloat16` or `mixed_float16`.
        only_first: Whether only the first visible GPU will be used.

    Raises:
        UserError: A run would crash. With SAGAN_TF_GPU_PREFLIGHT=warn in the environment this is a warning.
    """
    _report(collect_findings(precision, only_first=only_first))


def collect_findings(precision: str = "float32", *, only_first: bool = False) -> list[Finding]:
    """Return what a run would meet on the GPUs that this process sees; see `check_gpus`."""
    if not tf.config.list_physical_devices("GPU"):
        return [explain_unused_gpu(read_gpu_software())] if has_nvidia_gpu() else []
    gpus = visible_gpus()[: 1 if only_first else None]
    if not gpus:
        return []
    software = read_gpu_software()
    of_gpus = [one for gpu in gpus for one in examine_gpu(gpu, software, precision)]
    # GPUs of one kind have the same findings.
    return list(dict.fromkeys([*of_gpus, *examine_packages(software), *examine_shared_memory(len(gpus))]))


def visible_gpus() -> list[Gpu]:
    """Return the visible GPUs of NVIDIA's; those of other makers have no compute capability."""
    details = [tf.config.experimental.get_device_details(gpu) for gpu in tf.config.get_visible_devices("GPU")]
    known = [one for one in details if "compute_capability" in one]
    return [Gpu(one.get("device_name", "GPU"), one["compute_capability"]) for one in known]


def _report(findings: list[Finding]) -> None:
    """Log findings; raise those that would end a run, unless the environment says to start all the same."""
    errors = [one.message for one in findings if one.level >= logging.ERROR]
    if errors and os.environ.get(VARIABLE) != "warn":
        raise UserError(
            f"{'; '.join(errors)} (CUDA_VISIBLE_DEVICES chooses among GPUs, and -1 the CPU; "
            f"{VARIABLE}=warn starts all the same)"
        )
    for one in findings:
        if one.message not in _logged:
            _logged.add(one.message)
            _logger.log(min(one.level, logging.WARNING), "%s", one.message)
