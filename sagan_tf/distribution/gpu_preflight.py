"""Check of GPUs and their software before anything is computed on them."""

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

PREFLIGHT_VARIABLE = "SAGAN_TF_GPU_PREFLIGHT"

_logger = logging.getLogger("sagan_tf")
_logged: set[str] = set()


def check_gpus(precision: str = "float32", *, only_first: bool = False) -> None:
    """Check the visible GPUs and log the findings.

    The check reads versions and computes nothing on a GPU. A process logs each finding once. Without a GPU, nothing is
    logged, unless the machine has an NVIDIA GPU that TensorFlow does not use.

    Args:
        precision: The precision of the run: `float32`, `mixed_bfloat16` or `mixed_float16`.
        only_first: Whether only the first visible GPU will be used.

    Raises:
        UserError: A run would crash. With SAGAN_TF_GPU_PREFLIGHT=warn in the environment, this is a warning.
    """
    _report(collect_findings(precision, only_first=only_first))


def collect_findings(precision: str = "float32", *, only_first: bool = False) -> list[Finding]:
    """Return the findings about the visible GPUs; see `check_gpus`."""
    if not tf.config.list_physical_devices("GPU"):
        return [explain_unused_gpu(read_gpu_software())] if has_nvidia_gpu() else []
    gpus = list_visible_gpus()[: 1 if only_first else None]
    if not gpus:
        return []
    software = read_gpu_software()
    gpu_findings = [finding for gpu in gpus for finding in examine_gpu(gpu, software, precision)]
    # GPUs of the same model have the same findings.
    return list(dict.fromkeys([*gpu_findings, *examine_packages(software), *examine_shared_memory(len(gpus))]))


def list_visible_gpus() -> list[Gpu]:
    """Return the visible NVIDIA GPUs.

    GPUs of other makers have no compute capability.
    """
    all_details = [tf.config.experimental.get_device_details(gpu) for gpu in tf.config.get_visible_devices("GPU")]
    return [
        Gpu(details.get("device_name", "GPU"), details["compute_capability"])
        for details in all_details
        if "compute_capability" in details
    ]


def _report(findings: list[Finding]) -> None:
    """Log findings, or raise UserError if one of them is an error.

    With SAGAN_TF_GPU_PREFLIGHT=warn in the environment, errors are logged, too.
    """
    errors = [finding.message for finding in findings if finding.level >= logging.ERROR]
    if errors and os.environ.get(PREFLIGHT_VARIABLE) != "warn":
        raise UserError(
            f"{'; '.join(errors)} (CUDA_VISIBLE_DEVICES selects GPUs, -1 selects the CPU; "
            f"{PREFLIGHT_VARIABLE}=warn starts in spite of this error)"
        )
    for finding in findings:
        if finding.message not in _logged:
            _logged.add(finding.message)
            _logger.log(min(finding.level, logging.WARNING), "%s", finding.message)
