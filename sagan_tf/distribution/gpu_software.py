"""Versions of the software between TensorFlow and a GPU: the build, NVIDIA's driver, cuDNN and CUDA's packages."""

from __future__ import annotations

import ctypes
import dataclasses
import importlib.metadata
import os
import re

import tensorflow as tf
from packaging.requirements import Requirement
from packaging.version import InvalidVersion, Version

_CUDNN = "nvidia-cudnn-"


@dataclasses.dataclass(frozen=True)
class GpuSoftware:
    """The software with which TensorFlow uses an NVIDIA GPU. Versions are (major, minor); None is unknown.

    Attributes:
        tensorflow: TensorFlow's version.
        code: The compute capabilities that TensorFlow has code for, such as `sm_80` (machine code) and `compute_90`
            (PTX, which the driver compiles).
        cuda: The CUDA version that TensorFlow was built with.
        driver_cuda: The newest CUDA version that the driver supports; None if there is no driver.
        has_nvml: Whether NVIDIA's management library, without which TensorFlow lists no GPU, can be loaded.
        cudnn: The cuDNN that TensorFlow has loaded, or that is installed.
        oldest_cudnn: The oldest cuDNN that TensorFlow accepts.
        cudnn_package: The package that has cuDNN.
        has_tf32: Whether float32 products may be computed in TensorFloat-32.
        unmet: Installed CUDA packages whose version TensorFlow does not accept, and what it accepts.
        missing: CUDA packages of TensorFlow's extra `and-cuda` that are not installed.
    """

    tensorflow: str
    code: tuple[str, ...] = ()
    cuda: tuple[int, int] | None = None
    driver_cuda: tuple[int, int] | None = None
    has_nvml: bool = True
    cudnn: tuple[int, int] | None = None
    oldest_cudnn: tuple[int, int] | None = None
    cudnn_package: str = "nvidia-cudnn-cu12"
    has_tf32: bool = False
    unmet: tuple[tuple[str, Requirement], ...] = ()
    missing: tuple[str, ...] = ()


def read_gpu_software() -> GpuSoftware:
    """Return the versions that this process has. TensorFlow should have listed its GPUs, which loads the libraries."""
    build = tf.sysconfig.get_build_info()
    requirements = cuda_requirements()
    cudnn = next((one for one in requirements if one.name.startswith(_CUDNN)), Requirement(f"{_CUDNN}cu12"))
    installed = {one.name: _installed_version(one.name) for one in [*requirements, cudnn]}
    return GpuSoftware(
        tensorflow=tf.__version__,
        code=tuple(build.get("cuda_compute_capabilities", ())),
        cuda=_major_and_minor(build.get("cuda_version", "")),
        driver_cuda=read_driver_cuda(),
        has_nvml=_can_load("libnvidia-ml.so.1"),
        cudnn=read_loaded_cudnn(build.get("cudnn_version", "")) or _release(installed[cudnn.name]),
        oldest_cudnn=_lower_bound(cudnn),
        cudnn_package=cudnn.name,
        has_tf32=tf.config.experimental.tensor_float_32_execution_enabled(),
        unmet=tuple(
            (f"{one.name} {version}", one)
            for one in requirements
            if (version := installed[one.name]) and not one.specifier.contains(version, prereleases=True)
        ),
        missing=tuple(name for name, version in installed.items() if version is None),
    )


def cuda_requirements() -> list[Requirement]:
    """Return the packages of TensorFlow's extra `and-cuda`; none if TensorFlow is installed under another name."""
    try:
        lines = importlib.metadata.requires("tensorflow") or []
    except importlib.metadata.PackageNotFoundError:
        return []
    requirements = [Requirement(line) for line in lines if "and-cuda" in line]
    return [one for one in requirements if one.marker is None or one.marker.evaluate({"extra": "and-cuda"})]


def read_driver_cuda() -> tuple[int, int] | None:
    """Return the newest CUDA version that NVIDIA's driver supports, (major, minor); None without its library."""
    number = ctypes.c_int()
    try:
        status = ctypes.CDLL("libcuda.so.1").cuDriverGetVersion(ctypes.byref(number))
    except (OSError, AttributeError):
        return None
    return (number.value // 1000, number.value % 1000 // 10) if status == 0 and number.value else None


def read_loaded_cudnn(major: str) -> tuple[int, int] | None:
    """Return the version, (major, minor), of the cuDNN that this process has loaded; None if it has loaded none.

    It need not be the one that pip has installed: LD_LIBRARY_PATH goes before the path in TensorFlow's libraries.

    Args:
        major: The major version that TensorFlow was built for.
    """
    if not hasattr(os, "RTLD_NOLOAD"):
        return None
    try:
        get_version = ctypes.CDLL(f"libcudnn.so.{major}", mode=os.RTLD_NOLOAD).cudnnGetVersion
    except (OSError, AttributeError):
        return None
    get_version.restype = ctypes.c_size_t
    number = get_version()
    # 90100 is 9.1.0; before version 9, 8907 was 8.9.7.
    return (number // 10000, number % 10000 // 100) if number >= 10000 else (number // 1000, number % 1000 // 100)


def _can_load(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


def _installed_version(name: str) -> Version | None:
    try:
        return Version(importlib.metadata.version(name))
    except (importlib.metadata.PackageNotFoundError, InvalidVersion):
        return None


def _lower_bound(requirement: Requirement) -> tuple[int, int] | None:
    bounds = [one.version for one in requirement.specifier if one.operator in (">=", "==", "~=")]
    return _major_and_minor(bounds[0]) if bounds else None


def _release(version: Version | None) -> tuple[int, int] | None:
    return (version.major, version.minor) if version else None


def _major_and_minor(text: str) -> tuple[int, int] | None:
    found = re.match(r"(\d+)\.(\d+)", text)
    return (int(found[1]), int(found[2])) if found else None
