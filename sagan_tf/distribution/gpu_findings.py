"""Findings about GPUs and their software: what would end a run, compile for minutes or compute slowly.

TensorFlow itself starts with any of these. The user then sees a crash without a message, an InternalError or what looks
like a hang.
"""

from __future__ import annotations

import dataclasses
import logging
import os
import re
import shutil

from sagan_tf.distribution.gpu_software import GpuSoftware
from sagan_tf.environment.cuda import find_cuda_cache
from sagan_tf.text import install_command

_CODE = re.compile(r"(sm|compute)_(\d+)(\d)")
_VOLTA, _TURING, _AMPERE = (7, 0), (7, 5), (8, 0)
# cuDNN 9.11.0 has no code below 7.5 in libcudnn_ops, libcudnn_cnn and libcudnn_engines_runtime_compiled; 9.10.2 has it
# for 5.0, 6.0, 6.1 and 7.0 (read from the packages). conda-forge stays below 9.11 because of segmentation faults
# (conda-forge/tensorflow-feedstock#457).
_CUDNN_WITHOUT_OLD_GPUS = (9, 11)
_MIN_SHARED_MEMORY_BYTES = 256 * 2**20  # Docker gives a container 64 MiB, too little for NCCL


@dataclasses.dataclass(frozen=True)
class Gpu:
    """A GPU: its name and its compute capability, (major, minor)."""

    name: str
    capability: tuple[int, int]

    def __str__(self) -> str:
        return f"{self.name} (compute capability {_join(self.capability)})"


@dataclasses.dataclass(frozen=True)
class Finding:
    """A sentence for the user, and its level: `logging.ERROR` where a run would end, WARNING or INFO."""

    level: int
    message: str


def examine_gpu(gpu: Gpu, software: GpuSoftware, precision: str) -> list[Finding]:
    """Return what a run would meet on a GPU.

    Args:
        gpu: The GPU.
        software: TensorFlow and what it computes with.
        precision: `float32`, `mixed_bfloat16` or `mixed_float16`.
    """
    found = (_examine_code(gpu, software), _examine_cudnn(gpu, software), _examine_precision(gpu, software, precision))
    return [Finding(*one) for one in found if one]


def examine_packages(software: GpuSoftware) -> list[Finding]:
    """Return a warning for each CUDA package of a version that TensorFlow does not accept."""
    return [
        Finding(
            logging.WARNING,
            f"{installed} is installed, and TensorFlow {software.tensorflow} needs {needed.specifier}; run: "
            f"{install_command(f'{needed.name}{needed.specifier}')}",
        )
        for installed, needed in software.unmet
        if needed.name != software.cudnn_package  # by the version that is loaded, above
    ]


def examine_shared_memory(num_gpus: int, directory: str = "/dev/shm") -> list[Finding]:
    """Return a warning if several GPUs have less shared memory than NCCL needs to join them."""
    size = shutil.disk_usage(directory).total if num_gpus > 1 and os.path.isdir(directory) else _MIN_SHARED_MEMORY_BYTES
    if size >= _MIN_SHARED_MEMORY_BYTES:
        return []
    message = f"{directory} has {size // 2**20} MiB, which may be too little for NCCL to join {num_gpus} GPUs"
    return [Finding(logging.WARNING, f"{message}; start the container with more (docker run --shm-size=8g)")]


def explain_unused_gpu(software: GpuSoftware) -> Finding:
    """Return why TensorFlow may not use the NVIDIA GPU of this machine, and what to do; a run then has the CPU."""
    install = install_command(f"tensorflow[and-cuda]=={software.tensorflow}")
    if not software.code:
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
    elif software.missing:
        reason = f"these CUDA libraries are not installed: {', '.join(software.missing)}; run: {install}"
    else:
        reason = "the driver and the CUDA packages are there, and TensorFlow's log has the reason"
    message = (
        f"this machine has an NVIDIA GPU that TensorFlow cannot use: {reason} (TF_CPP_MIN_LOG_LEVEL=0 "
        "TF_CPP_VMODULE=dso_loader=1 in the environment shows TensorFlow's log with the libraries that it misses; "
        "CUDA_VISIBLE_DEVICES=-1 hides the GPU)"
    )
    return Finding(logging.WARNING, message)


def _examine_code(gpu: Gpu, software: GpuSoftware) -> tuple[int, str] | None:
    """Return what follows from the compute capabilities that TensorFlow has code for."""
    code = _parse(software.code)
    if not code:  # a build that does not name them
        return None
    if _has_old_driver(software):
        return logging.ERROR, _describe_old_driver(software)
    # Machine code runs on later GPUs of the same major version. So does PTX, once the driver has compiled it.
    kinds = [kind for kind, have in code if have[0] == gpu.capability[0] and have <= gpu.capability]
    if kinds:
        return None if "sm" in kinds else _examine_compilation(gpu, software)
    own = f"{gpu}: TensorFlow {software.tensorflow} has code for {', '.join(software.code)}, and none runs on it"
    if gpu.capability < max(capability for _, capability in code):
        return logging.ERROR, f"{own}; use another GPU"  # TensorFlow 2.21 lists it and starts
    # NVIDIA means PTX to be compiled for later major versions, too. On GPUs of 12.0 TensorFlow 2.16, 2.19, 2.20 and
    # 2.21 end at a first kernel all the same (tensorflow#89272, #97387, #99592, #101746, #111958).
    return logging.ERROR, (
        f"{own} (CUDA_ERROR_INVALID_PTX); use a TensorFlow that is built for this GPU, such "
        "as that of NVIDIA's TensorFlow container"
    )


def _examine_compilation(gpu: Gpu, software: GpuSoftware) -> tuple[int, str]:
    """Return what PTX without machine code means: the driver must know its version, and compiles it at first use.

    In TensorFlow 2.21 these are 1,149 of 1,398 modules for compute capability 9.0, PTX 8.5 (read from its libraries).
    """
    if software.cuda and software.driver_cuda and software.driver_cuda < software.cuda:
        message = (
            f"{gpu}: TensorFlow {software.tensorflow} has kernels for it as PTX of CUDA {_join(software.cuda)}, and "
            f"NVIDIA's driver, which supports CUDA up to {_join(software.driver_cuda)}, cannot compile them "
            "(CUDA_ERROR_UNSUPPORTED_PTX_VERSION); install a newer driver, or NVIDIA's package cuda-compat"
        )
        return logging.ERROR, message
    start = f"{gpu}: the driver compiles TensorFlow's kernels when they are first used, which can take 30 minutes"
    cache = find_cuda_cache()
    if cache is None:
        return logging.WARNING, f"{start} at every start: CUDA's cache is off or cannot be written (CUDA_CACHE_PATH)"
    return logging.INFO, f"{start}; later starts find them in {cache}"


def _examine_cudnn(gpu: Gpu, software: GpuSoftware) -> tuple[int, str] | None:
    cudnn, oldest = software.cudnn, software.oldest_cudnn
    if cudnn is None:
        return None
    limit = "<9.11" if gpu.capability < _TURING else ""
    if oldest and (cudnn[0] != oldest[0] or cudnn < oldest):
        needed = f"{software.cudnn_package}>={_join(oldest)},{limit or f'<{oldest[0] + 1}'}"
        message = (
            f"TensorFlow {software.tensorflow} needs cuDNN {_join(oldest)} or a later {oldest[0]}.x and finds "
            f"{_join(cudnn)}, with which no convolution runs; run: {install_command(needed)}"
        )
        return logging.ERROR, message
    if limit and cudnn >= _CUDNN_WITHOUT_OLD_GPUS:
        message = (
            f"{gpu}: cuDNN {_join(cudnn)} has no code for GPUs below 7.5, and a convolution ends the program without "
            f"a message; run: {install_command(f'{software.cudnn_package}{limit}')}"
        )
        return logging.ERROR, message
    return None


def _examine_precision(gpu: Gpu, software: GpuSoftware, precision: str) -> tuple[int, str] | None:
    if precision == "mixed_bfloat16" and gpu.capability < _AMPERE:
        return logging.WARNING, f"{gpu}: bfloat16 is emulated below 8.0, which is slower than --precision=float32"
    if precision == "mixed_float16" and gpu.capability < _VOLTA:
        return logging.WARNING, f"{gpu}: no tensor cores below 7.0; --precision=mixed_float16 saves memory and no time"
    if precision == "float32" and gpu.capability >= _AMPERE and software.has_tf32:
        return (
            logging.INFO,
            f"{gpu}: float32 products have 10 bits of mantissa (TensorFloat-32); --notf32 avoids it",
        )
    return None


def _has_old_driver(software: GpuSoftware) -> bool:
    """Return whether the driver is of an earlier major version of CUDA; every driver of the same one will do."""
    return bool(software.cuda and software.driver_cuda and software.driver_cuda[0] < software.cuda[0])


def _describe_old_driver(software: GpuSoftware) -> str:
    supported, needed = _join(software.driver_cuda), _join(software.cuda).partition(".")[0]
    return (
        f"NVIDIA's driver supports CUDA up to {supported}, and TensorFlow needs CUDA {needed}; install a newer driver"
    )


def _parse(code: tuple[str, ...]) -> list[tuple[str, tuple[int, int]]]:
    found = [_CODE.match(one) for one in code]
    return [(one[1], (int(one[2]), int(one[3]))) for one in found if one]


def _join(version: tuple[int, int] | None) -> str:
    return ".".join(map(str, version or ()))
