"""Description of the devices and libraries that TensorFlow uses on this machine, for a bug report."""

from __future__ import annotations

import contextlib
import os
import pathlib
import shutil
import subprocess
from importlib import metadata
from typing import Any

import tensorflow as tf

from sagan_tf.config.option_names import PRECISIONS
from sagan_tf.distribution.gpu_preflight import collect_findings
from sagan_tf.environment.tpu import has_tpu
from sagan_tf.errors import UserError
from sagan_tf.text import read_text
from tools.gpu_checking.cuda_devices import list_cuda_devices

_DRIVER = pathlib.Path("/proc/driver/nvidia/version")
_VARIABLES = ("CUDA_", "LD_LIBRARY_PATH", "NCCL_", "NVIDIA_", "SAGAN_TF_", "TF_", "TPU_", "XLA_")
_TENSORFLOW = ("tensorflow", "tensorflow-cpu", "tensorflow-tpu", "libtpu")
_PACKAGES = ("sagan-tf", *_TENSORFLOW, "keras", "numpy", "nvidia-cudnn-cu12", "nvidia-nccl-cu12")
_QUERIED_PROPERTIES = "uuid,name,memory.total,memory.used,driver_version,utilization.gpu"


def describe_environment() -> dict[str, Any]:
    """Describe devices, driver, libraries and variables as a dictionary for JSON."""
    build = dict(tf.sysconfig.get_build_info())
    return {
        "gpus": describe_gpus(),
        "has_tpu": bool(tf.config.list_physical_devices("TPU_SYSTEM")) or has_tpu(),
        "logical_devices": [device.name for device in tf.config.list_logical_devices()],
        "driver": _read_driver_version(),
        "nvidia_smi": query_nvidia_smi(),
        "tensorflow_build": {
            name: build.get(name)
            for name in ("is_cuda_build", "cuda_version", "cudnn_version", "cuda_compute_capabilities")
        },
        "packages": _find_package_versions(),
        "preflight": _collect_preflight_messages(),
        "environment": {name: value for name, value in sorted(os.environ.items()) if name.startswith(_VARIABLES)},
    }


def query_nvidia_smi() -> list[dict[str, str]]:
    """Query all GPUs of the machine by `nvidia-smi`.

    Returns:
        For each GPU the UUID, name, memory in MiB, driver version and utilization; empty if `nvidia-smi` is missing or
        fails.
    """
    if shutil.which("nvidia-smi") is None:
        return []
    command = ["nvidia-smi", f"--query-gpu={_QUERIED_PROPERTIES}", "--format=csv,noheader,nounits"]
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        printed = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout
        names = _QUERIED_PROPERTIES.split(",")
        return [dict(zip(names, map(str.strip, line.split(",")), strict=False)) for line in printed.splitlines()]
    return []


def describe_gpus() -> list[dict[str, Any]]:
    """Describe the GPUs that TensorFlow lists, in its order.

    Returns:
        For each GPU its `name`, `device` and `compute_capability`, and the driver's `memory_bytes` and `uuid`, which
        are None if the driver's GPUs do not match TensorFlow's.
    """
    gpus = tf.config.list_physical_devices("GPU")
    details = [tf.config.experimental.get_device_details(gpu) for gpu in gpus]
    names = [detail.get("device_name") for detail in details]
    # TensorFlow does not list GPUs that are much smaller than the others, such as one for a display.
    devices = [device for device in list_cuda_devices() if device.name in names]
    known = [device.name for device in devices] == names
    return [
        {
            "name": gpu.name,
            "device": detail.get("device_name"),
            "compute_capability": ".".join(map(str, detail["compute_capability"]))
            if "compute_capability" in detail
            else None,
            "memory_bytes": devices[number].memory_bytes if known else None,
            "uuid": devices[number].uuid if known else None,
        }
        for number, (gpu, detail) in enumerate(zip(gpus, details, strict=True))
    ]


def _collect_preflight_messages() -> list[str]:
    """Collect the messages of the check before a run, for all precisions."""
    findings = [finding.message for precision in PRECISIONS for finding in collect_findings(precision)]
    return list(dict.fromkeys(findings))


def _read_driver_version() -> str | None:
    with contextlib.suppress(OSError, UserError, IndexError):
        return read_text(_DRIVER, errors="replace").splitlines()[0]
    return None


def _find_package_versions() -> dict[str, str]:
    versions = {}
    for name in _PACKAGES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions[name] = metadata.version(name)
    return versions
