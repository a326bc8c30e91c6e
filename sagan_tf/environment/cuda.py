"""NVIDIA GPUs as the machine and the environment show them, without TensorFlow; CUDA's libraries and its cache."""

from __future__ import annotations

import contextlib
import ctypes
import importlib.metadata
import os
import pathlib
import re

_CACHE_BYTES = 4 * 2**30  # the largest that the driver takes; its default holds part of TensorFlow's kernels only
_DEFAULT_CACHE = "~/.nv/ComputeCache"
_CUSOLVER_PACKAGE, _CUSOLVER = "nvidia-cusolver-cu12", "libcusolver.so.11"
_DEVICE = re.compile(r"\s*(\d|GPU-|MIG-)")
_WSL_DRIVERS = ("usr/lib/wsl/lib/libcuda.so*", "usr/lib/wsl/drivers/*/libcuda.so*")


def has_nvidia_gpu(root: str | os.PathLike[str] = "/") -> bool:
    """Return whether this machine has an NVIDIA GPU that is not hidden from this process.

    A container shows only the GPUs it was given, under their numbers on the host: `/dev/nvidia3` may be the only one.
    In WSL 2 `/dev/dxg` stands for GPUs of all makers, and NVIDIA's driver is known by its library.

    Args:
        root: The directory in which `dev` and `usr` are.
    """
    place = pathlib.Path(root)
    if is_every_gpu_hidden():
        return False
    if any(place.glob("dev/nvidia[0-9]*")):
        return True
    return (place / "dev/dxg").exists() and any(any(place.glob(pattern)) for pattern in _WSL_DRIVERS)


def is_every_gpu_hidden() -> bool:
    """Return whether CUDA_VISIBLE_DEVICES hides all GPUs: CUDA reads its list up to the first other entry."""
    devices = os.environ.get("CUDA_VISIBLE_DEVICES")
    return devices is not None and _DEVICE.match(devices) is None


def load_cuda_libraries() -> None:
    """Load the CUDA library that TensorFlow does not find where pip installs it. Call it before GPUs are listed.

    TensorFlow 2.21 searches the directories of pip's CUDA packages for all its libraries but cuSOLVER; without it,
    TensorFlow uses no GPU and logs a warning that does not name it. A library that is loaded is found by its name.
    """
    if not has_nvidia_gpu():
        return
    with contextlib.suppress(OSError):  # LD_LIBRARY_PATH or the system has it: TensorFlow finds it, too
        ctypes.CDLL(_CUSOLVER)
        return
    with contextlib.suppress(OSError, importlib.metadata.PackageNotFoundError):  # TensorFlow's own reasons follow
        for file in importlib.metadata.files(_CUSOLVER_PACKAGE) or []:
            if file.name == _CUSOLVER:
                ctypes.CDLL(os.fspath(file.locate()))


def prepare_cuda() -> None:
    """Set what CUDA and TensorFlow read of the environment at their start. Call it before TensorFlow is imported.

    The driver keeps all the kernels that it compiles for this GPU, and TensorFlow starts kernels from threads that
    decoding images does not occupy. What the environment already sets is kept; the directory that CUDA_CACHE_PATH names
    is made.
    """
    os.environ.setdefault("TF_GPU_THREAD_MODE", "gpu_private")
    os.environ.setdefault("CUDA_CACHE_MAXSIZE", str(_CACHE_BYTES))
    directory = os.environ.get("CUDA_CACHE_PATH")
    if directory and has_nvidia_gpu():
        with contextlib.suppress(OSError):  # the driver then compiles without a cache
            os.makedirs(directory, exist_ok=True)


def find_cuda_cache() -> pathlib.Path | None:
    """Return the directory in which the driver keeps the kernels that it compiles; None if it keeps none."""
    if os.environ.get("CUDA_CACHE_DISABLE", "0") not in ("", "0"):
        return None
    try:
        directory = pathlib.Path(os.environ.get("CUDA_CACHE_PATH") or _DEFAULT_CACHE).expanduser()
    except RuntimeError:  # containers may run under a number that no user has, without HOME
        return None
    existing = next(place for place in (directory, *directory.absolute().parents) if place.exists())
    return directory if os.access(existing, os.W_OK) else None
