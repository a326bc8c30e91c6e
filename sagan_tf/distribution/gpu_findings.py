"""Findings about GPUs and their software that would crash a run, delay it or slow it down.

TensorFlow itself starts with any of these problems. The user then sees a crash without a message, an InternalError or
what looks like a hang.
"""

from __future__ import annotations

import dataclasses
import logging
import os
import re
import shutil

from sagan_tf.distribution.gpu_software import GpuSoftware
from sagan_tf.environment.cuda import find_cuda_cache
from sagan_tf.text import format_install_command

_COMPUTE_CAPABILITY = re.compile(r"(sm|compute)_(\d+)(\d)")
_VOLTA, _TURING, _AMPERE = (7, 0), (7, 5), (8, 0)
# cuDNN 9.11.0 has no code for compute capabilities below 7.5 in libcudnn_ops, libcudnn_cnn and
# libcudnn_engines_runtime_compiled; 9.10.2 has code for 5.0, 6.0, 6.1 and 7.0 (read from the packages). conda-forge
# stays below 9.11 because of segmentation faults (conda-forge/tensorflow-feedstock#457).
_CUDNN_WITHOUT_OLD_GPUS = (9, 11)
_MIN_SHARED_MEMORY_BYTES = 256 * 2**20  # Docker gives a container 64 MiB, too little for NCCL


@dataclasses.dataclass(frozen=True)
class Gpu:
    """A GPU.

    Attributes:
        name: The name, such as `NVIDIA H100`.
        capability: The compute capability, (major, minor).
    """

    name: str
    capability: tuple[int, int]

    def __str__(self) -> str:
        return f"{self.name} (compute capability {_format_version(self.capability)})"


@dataclasses.dataclass(frozen=True)
class Finding:
    """A finding about a GPU or its software.

    Attributes:
        level: `logging.ERROR` if a run would crash, otherwise `logging.WARNING` or `logging.INFO`.
        message: A sentence for the user.
    """

    level: int
    message: str


def examine_gpu(gpu: Gpu, software: GpuSoftware, precision: str) -> list[Finding]:
    """Return the findings about a GPU.

    Args:
        gpu: The GPU.
        software: The software with which TensorFlow uses the GPU.
        precision: The precision of the run: `float32`, `mixed_bfloat16` or `mixed_float16`.
    """
    findings = (
        _examine_compute_capability(gpu, software),
        _examine_cudnn(gpu, software),
        _examine_precision(gpu, software, precision),
    )
    return [Finding(*finding) for finding in findings if finding]


def examine_packages(software: GpuSoftware) -> list[Finding]:
    """Return a warning for each CUDA package whose version TensorFlow does not accept."""
    return [
        Finding(
            logging.WARNING,
            f"{installed} is installed, but TensorFlow {software.tensorflow} needs {needed.specifier}; run: "
            f"{format_install_command(f'{needed.name}{needed.specifier}')}",
        )
        for installed, needed in software.unmet_requirements
        if needed.name != software.cudnn_package  # `_examine_cudnn` checks the version that is loaded.
    ]


def examine_shared_memory(num_gpus: int, directory: str = "/dev/shm") -> list[Finding]:
    """Return a warning if NCCL may have too little shared memory for several GPUs.

    Args:
        num_gpus: The number of GPUs.
        directory: The directory of the shared memory.
    """
    size = shutil.disk_usage(directory).total if num_gpus > 1 and os.path.isdir(directory) else _MIN_SHARED_MEMORY_BYTES
    if size >= _MIN_SHARED_MEMORY_BYTES:
        return []
    message = f"{directory} has {size // 2**20} MiB, which may be too little for NCCL with {num_gpus} GPUs"
    return [Finding(logging.WARNING, f"{message}; start the container with more (docker run --shm-size=8g)")]


def explain_unused_gpu(software: GpuSoftware) -> Finding:
    """Return a warning that says why TensorFlow does not use the NVIDIA GPU.

    A run then uses the CPU. The warning also says what to do.
    """
    install = format_install_command(f"tensorflow[and-cuda]=={software.tensorflow}")
    if not software.compute_capabilities:
        reason = f"TensorFlow {software.tensorflow} is built without CUDA; run: {install}"
    elif software.driver_cuda is None:
        reason = (
            "NVIDIA's driver library, libcuda.so.1, cannot be loaded; install NVIDIA's driver, or start the container "
            "with NVIDIA's container toolkit (docker run --gpus=all)"
        )
    elif not software.has_nvml:
        reason = (
            "NVIDIA's library libnvidia-ml.so.1 cannot be loaded; install the whole driver, or start the container "
            "with NVIDIA_DRIVER_CAPABILITIES=compute,utility"
        )
    elif _has_old_driver(software):
        reason = _describe_old_driver(software)
    elif software.missing_packages:
        reason = f"these CUDA libraries are not installed: {', '.join(software.missing_packages)}; run: {install}"
    else:
        reason = "the driver and the CUDA packages are installed; the log of TensorFlow has the reason"
    message = (
        f"this machine has an NVIDIA GPU that TensorFlow cannot use: {reason} (set TF_CPP_MIN_LOG_LEVEL=0 "
        "TF_CPP_VMODULE=dso_loader=1 in the environment to see TensorFlow's log with the missing libraries; "
        "CUDA_VISIBLE_DEVICES=-1 hides the GPU)"
    )
    return Finding(logging.WARNING, message)


def _examine_compute_capability(gpu: Gpu, software: GpuSoftware) -> tuple[int, str] | None:
    """Return the finding about the code that TensorFlow has for a GPU, or None."""
    code = _parse_compute_capabilities(software.compute_capabilities)
    if not code:  # The build of TensorFlow does not list them.
        return None
    if _has_old_driver(software):
        return logging.ERROR, _describe_old_driver(software)
    # Machine code (sm) runs on later GPUs of the same major version. So does PTX (compute) after the driver has
    # compiled it.
    kinds = [kind for kind, version in code if version[0] == gpu.capability[0] and version <= gpu.capability]
    if kinds:
        return None if "sm" in kinds else _examine_compilation(gpu, software)
    own = (
        f"{gpu}: TensorFlow {software.tensorflow} has code for {', '.join(software.compute_capabilities)}, none of "
        "which runs on this GPU"
    )
    if gpu.capability < max(capability for _, capability in code):
        return logging.ERROR, f"{own}; use another GPU"  # TensorFlow 2.21 lists the GPU and starts.
    # NVIDIA intends PTX to be compiled for later major versions, too. On GPUs of compute capability 12.0, however,
    # TensorFlow 2.16, 2.19, 2.20 and 2.21 fail at the first kernel (tensorflow#89272, #97387, #99592, #101746 and
    # #111958).
    return logging.ERROR, (
        f"{own} (CUDA_ERROR_INVALID_PTX); use a TensorFlow that is built for this GPU, such "
        "as that of NVIDIA's TensorFlow container"
    )


def _examine_compilation(gpu: Gpu, software: GpuSoftware) -> tuple[int, str]:
    """Return the finding about a GPU for which TensorFlow has PTX but no machine code.

    The driver must support the version of the PTX, and compiles it at first use. In TensorFlow 2.21, 1,149 of 1,398
    modules for compute capability 9.0 are PTX only, of version 8.5 (read from its libraries).
    """
    if software.cuda and software.driver_cuda and software.driver_cuda < software.cuda:
        message = (
            f"{gpu}: TensorFlow {software.tensorflow} has its kernels as PTX of CUDA {_format_version(software.cuda)}, "
            f"but NVIDIA's driver supports CUDA up to {_format_version(software.driver_cuda)} and cannot compile them "
            "(CUDA_ERROR_UNSUPPORTED_PTX_VERSION); install a newer driver, or NVIDIA's package cuda-compat"
        )
        return logging.ERROR, message
    start = f"{gpu}: the driver compiles TensorFlow's kernels when they are first used, which can take 30 minutes"
    cache = find_cuda_cache()
    if cache is None:
        return logging.WARNING, f"{start} at every start: CUDA's cache is off or cannot be written (CUDA_CACHE_PATH)"
    return logging.INFO, f"{start}; later starts find them in {cache}"


def _examine_cudnn(gpu: Gpu, software: GpuSoftware) -> tuple[int, str] | None:
    cudnn, min_cudnn = software.cudnn, software.min_cudnn
    if cudnn is None:
        return None
    version = _format_version(cudnn)
    limit = "<9.11" if gpu.capability < _TURING else ""
    if min_cudnn and (cudnn[0] != min_cudnn[0] or cudnn < min_cudnn):
        needed = f"{software.cudnn_package}>={_format_version(min_cudnn)},{limit or f'<{min_cudnn[0] + 1}'}"
        message = (
            f"TensorFlow {software.tensorflow} needs cuDNN {_format_version(min_cudnn)} or a later {min_cudnn[0]}.x, "
            f"but finds {version}, with which no convolution runs; run: {format_install_command(needed)}"
        )
        return logging.ERROR, message
    if limit and cudnn >= _CUDNN_WITHOUT_OLD_GPUS:
        message = (
            f"{gpu}: cuDNN {version} has no code for GPUs below compute capability 7.5, and a convolution would end "
            f"the program without a message; run: {format_install_command(f'{software.cudnn_package}{limit}')}"
        )
        return logging.ERROR, message
    return None


def _examine_precision(gpu: Gpu, software: GpuSoftware, precision: str) -> tuple[int, str] | None:
    if precision == "mixed_bfloat16" and gpu.capability < _AMPERE:
        return (
            logging.WARNING,
            f"{gpu}: bfloat16 is emulated below compute capability 8.0, which is slower than --precision=float32",
        )
    if precision == "mixed_float16" and gpu.capability < _VOLTA:
        return (
            logging.WARNING,
            f"{gpu}: there are no tensor cores below compute capability 7.0; --precision=mixed_float16 saves memory "
            "but no time",
        )
    if precision == "float32" and gpu.capability >= _AMPERE and software.has_tf32:
        return (
            logging.INFO,
            f"{gpu}: float32 products have 10 bits of mantissa (TensorFloat-32); --notf32 avoids this",
        )
    return None


def _has_old_driver(software: GpuSoftware) -> bool:
    """Return whether the driver supports only earlier major versions of CUDA.

    Every driver of the same major version suffices.
    """
    return bool(software.cuda and software.driver_cuda and software.driver_cuda[0] < software.cuda[0])


def _describe_old_driver(software: GpuSoftware) -> str:
    supported, needed = _format_version(software.driver_cuda), _format_version(software.cuda).partition(".")[0]
    return (
        f"NVIDIA's driver supports CUDA up to {supported}, but TensorFlow needs CUDA {needed}; install a newer driver"
    )


def _parse_compute_capabilities(names: tuple[str, ...]) -> list[tuple[str, tuple[int, int]]]:
    matches = [_COMPUTE_CAPABILITY.match(name) for name in names]
    return [(match[1], (int(match[2]), int(match[3]))) for match in matches if match]


def _format_version(version: tuple[int, int] | None) -> str:
    return ".".join(map(str, version or ()))
