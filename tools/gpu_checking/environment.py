"""What TensorFlow sees of this machine, for a bug report."""

from __future__ import annotations

import contextlib
import os
import pathlib
import shutil
import subprocess
from importlib import metadata
from typing import Any

import tensorflow as tf

from sagan_tf.distribution.gpu_preflight import collect_findings
from sagan_tf.errors import UserError
from sagan_tf.text import read_text

_DRIVER = pathlib.Path("/proc/driver/nvidia/version")
_VARIABLES = ("CUDA_", "NCCL_", "NVIDIA_", "TF_", "XLA_")
_PACKAGES = ("sagan-tf", "tensorflow", "tensorflow-cpu", "keras", "numpy", "nvidia-cudnn-cu12", "nvidia-nccl-cu12")
_QUERIED = "name,memory.total,memory.used,driver_version,utilization.gpu"


def describe_environment() -> dict[str, Any]:
    """Return devices, driver, libraries and variables as a dictionary for JSON."""
    build = dict(tf.sysconfig.get_build_info())
    return {
        "gpus": [_describe_gpu(gpu) for gpu in tf.config.list_physical_devices("GPU")],
        "logical_devices": [device.name for device in tf.config.list_logical_devices()],
        "driver": _driver_version(),
        "nvidia_smi": query_nvidia_smi(),
        "tensorflow_build": {
            name: build.get(name)
            for name in ("is_cuda_build", "cuda_version", "cudnn_version", "cuda_compute_capabilities")
        },
        "packages": _package_versions(),
        "preflight": [finding.message for finding in collect_findings()],
        "environment": {name: value for name, value in sorted(os.environ.items()) if name.startswith(_VARIABLES)},
    }


def query_nvidia_smi() -> list[dict[str, str]]:
    """Return name, memory in MiB, driver and utilization of each GPU; empty where `nvidia-smi` is missing or fails."""
    if shutil.which("nvidia-smi") is None:
        return []
    command = ["nvidia-smi", f"--query-gpu={_QUERIED}", "--format=csv,noheader,nounits"]
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        printed = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout
        names = _QUERIED.split(",")
        return [dict(zip(names, map(str.strip, line.split(",")), strict=False)) for line in printed.splitlines()]
    return []


def _describe_gpu(gpu: tf.config.PhysicalDevice) -> dict[str, Any]:
    details = tf.config.experimental.get_device_details(gpu)
    capability = details.get("compute_capability")
    return {
        "name": gpu.name,
        "device": details.get("device_name"),
        "compute_capability": ".".join(map(str, capability)) if capability else None,
    }


def _driver_version() -> str | None:
    with contextlib.suppress(OSError, UserError, IndexError):
        return read_text(_DRIVER, errors="replace").splitlines()[0]
    return None


def _package_versions() -> dict[str, str]:
    versions = {}
    for name in _PACKAGES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions[name] = metadata.version(name)
    return versions
