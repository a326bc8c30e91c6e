"""Versions of the software that TensorFlow uses a GPU with: its build, NVIDIA's driver, cuDNN and CUDA packages."""

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
    """The software with which TensorFlow uses an NVIDIA GPU.

    Versions are (major, minor); None means unknown.

    Attributes:
        tensorflow: The version of TensorFlow.
        compute_capabilities: The compute capabilities that TensorFlow has code for, such as `sm_80` (machine code) and
            `compute_90` (PTX, which the driver compiles).
        cuda: The CUDA version that TensorFlow was built with.
        driver_cuda: The newest CUDA version that the driver supports; None if there is no driver.
        has_nvml: Whether NVIDIA's management library can be loaded. TensorFlow lists no GPU without it.
        cudnn: The version of cuDNN that TensorFlow has loaded, otherwise the installed version.
        min_cudnn: The oldest version of cuDNN that TensorFlow accepts.
        cudnn_package: The name of the package of cuDNN.
        has_tf32: Whether float32 products may be computed in TensorFloat-32.
        unmet_requirements: Installed CUDA packages whose version TensorFlow does not accept: name and version of each,
            and the requirement.
        missing_packages: CUDA packages of TensorFlow's extra `and-cuda` that are not installed.
    """

    tensorflow: str
    compute_capabilities: tuple[str, ...] = ()
    cuda: tuple[int, int] | None = None
    driver_cuda: tuple[int, int] | None = None
    has_nvml: bool = True
    cudnn: tuple[int, int] | None = None
    min_cudnn: tuple[int, int] | None = None
    cudnn_package: str = "nvidia-cudnn-cu12"
    has_tf32: bool = False
    unmet_requirements: tuple[tuple[str, Requirement], ...] = ()
    missing_packages: tuple[str, ...] = ()


def read_gpu_software() -> GpuSoftware:
    """Read the versions of the software in this process.

    Call it after TensorFlow has listed its GPUs, which loads the libraries.
    """
    build = tf.sysconfig.get_build_info()
    requirements = read_cuda_requirements()
    cudnn = next(
        (requirement for requirement in requirements if requirement.name.startswith(_CUDNN)),
        Requirement(f"{_CUDNN}cu12"),
    )
    installed = {requirement.name: _find_version(requirement.name) for requirement in [*requirements, cudnn]}
    return GpuSoftware(
        tensorflow=tf.__version__,
        compute_capabilities=tuple(build.get("cuda_compute_capabilities", ())),
        cuda=_parse_version(build.get("cuda_version", "")),
        driver_cuda=read_driver_cuda(),
        has_nvml=_can_load("libnvidia-ml.so.1"),
        cudnn=read_loaded_cudnn(build.get("cudnn_version", "")) or _get_major_and_minor(installed[cudnn.name]),
        min_cudnn=_find_lower_bound(cudnn),
        cudnn_package=cudnn.name,
        has_tf32=tf.config.experimental.tensor_float_32_execution_enabled(),
        unmet_requirements=tuple(
            (f"{requirement.name} {version}", requirement)
            for requirement in requirements
            if (version := installed[requirement.name])
            and not requirement.specifier.contains(version, prereleases=True)
        ),
        missing_packages=tuple(name for name, version in installed.items() if version is None),
    )


def read_cuda_requirements() -> list[Requirement]:
    """Return the requirements of TensorFlow's extra `and-cuda`.

    The list is empty if TensorFlow is installed under another name.
    """
    try:
        lines = importlib.metadata.requires("tensorflow") or []
    except importlib.metadata.PackageNotFoundError:
        return []
    requirements = [Requirement(line) for line in lines if "and-cuda" in line]
    return [
        requirement
        for requirement in requirements
        if requirement.marker is None or requirement.marker.evaluate({"extra": "and-cuda"})
    ]


def read_driver_cuda() -> tuple[int, int] | None:
    """Return the newest CUDA version that NVIDIA's driver supports.

    Returns:
        The version, (major, minor); None if the library of the driver cannot be used.
    """
    number = ctypes.c_int()
    try:
        status = ctypes.CDLL("libcuda.so.1").cuDriverGetVersion(ctypes.byref(number))
    except (OSError, AttributeError):
        return None
    return (number.value // 1000, number.value % 1000 // 10) if status == 0 and number.value else None


def read_loaded_cudnn(major: str) -> tuple[int, int] | None:
    """Return the version of the cuDNN that this process has loaded.

    It may differ from the version that pip has installed, because LD_LIBRARY_PATH takes precedence over the path in
    TensorFlow's libraries.

    Args:
        major: The major version that TensorFlow was built for.

    Returns:
        The version, (major, minor); None if cuDNN is not loaded.
    """
    if not hasattr(os, "RTLD_NOLOAD"):
        return None
    try:
        get_version = ctypes.CDLL(f"libcudnn.so.{major}", mode=os.RTLD_NOLOAD).cudnnGetVersion
    except (OSError, AttributeError):
        return None
    get_version.restype = ctypes.c_size_t
    number = get_version()
    # 90100 is version 9.1.0. Before version 9, the format was different: 8907 is version 8.9.7.
    return (number // 10000, number % 10000 // 100) if number >= 10000 else (number // 1000, number % 1000 // 100)


def _can_load(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


def _find_version(name: str) -> Version | None:
    try:
        return Version(importlib.metadata.version(name))
    except (importlib.metadata.PackageNotFoundError, InvalidVersion):
        return None


def _find_lower_bound(requirement: Requirement) -> tuple[int, int] | None:
    bounds = [specifier.version for specifier in requirement.specifier if specifier.operator in (">=", "==", "~=")]
    return _parse_version(bounds[0]) if bounds else None


def _get_major_and_minor(version: Version | None) -> tuple[int, int] | None:
    return (version.major, version.minor) if version else None


def _parse_version(text: str) -> tuple[int, int] | None:
    match = re.match(r"(\d+)\.(\d+)", text)
    return (int(match[1]), int(match[2])) if match else None
