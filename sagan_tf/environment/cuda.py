"""NVIDIA GPUs, CUDA libraries and the cache of CUDA, examined without TensorFlow."""

from __future__ import annotations

import contextlib
import ctypes
import importlib.metadata
import itertools
import os
import pathlib
import re

_MAX_CACHE_BYTES = 4 * 2**30
"""The largest size that the driver accepts. Its default holds only a part of TensorFlow's kernels."""
_DEFAULT_CACHE = "~/.nv/ComputeCache"
_CUSOLVER_PACKAGE, _CUSOLVER = "nvidia-cusolver-cu12", "libcusolver.so.11"
_DEVICE = re.compile(r"\s*(\d|GPU-|MIG-)")
_WSL_DRIVERS = ("usr/lib/wsl/lib/libcuda.so*", "usr/lib/wsl/drivers/*/libcuda.so*")


def has_nvidia_gpu(root: str | os.PathLike[str] = "/") -> bool:
    """Return whether this process can see an NVIDIA GPU.

    A container shows only its own GPUs, with their numbers on the host, so that `/dev/nvidia3` may be the only one. In
    WSL 2, `/dev/dxg` represents GPUs of all makers, and the driver library shows that there is an NVIDIA GPU.

    Args:
        root: The directory that contains `dev` and `usr`.
    """
    directory = pathlib.Path(root)
    if is_every_gpu_hidden():
        return False
    if any(directory.glob("dev/nvidia[0-9]*")):
        return True
    return (directory / "dev/dxg").exists() and any(any(directory.glob(pattern)) for pattern in _WSL_DRIVERS)


def is_every_gpu_hidden() -> bool:
    """Return whether CUDA_VISIBLE_DEVICES hides all GPUs."""
    return list_visible_devices() == []


def list_visible_devices() -> list[str] | None:
    """Return the numbers and UUIDs in CUDA_VISIBLE_DEVICES; None if it is not set, and all GPUs are visible.

    CUDA reads the list up to the first entry that is not a device.
    """
    devices = os.environ.get("CUDA_VISIBLE_DEVICES")
    if devices is None:
        return None
    return [entry.strip() for entry in itertools.takewhile(_DEVICE.match, devices.split(","))]


def load_cuda_libraries() -> None:
    """Load the CUDA library that TensorFlow does not find by itself.

    Call it before TensorFlow lists the GPUs. TensorFlow 2.21 searches the directories of pip's CUDA packages for all
    its libraries but cuSOLVER. Without cuSOLVER, TensorFlow uses no GPU and logs a warning that does not name the
    library. Once the library is loaded, TensorFlow finds it by its name.
    """
    if not has_nvidia_gpu():
        return
    with contextlib.suppress(OSError):  # LD_LIBRARY_PATH or the system has the library, so TensorFlow finds it, too.
        ctypes.CDLL(_CUSOLVER)
        return
    with contextlib.suppress(OSError, importlib.metadata.PackageNotFoundError):  # TensorFlow reports the reason later.
        for file in importlib.metadata.files(_CUSOLVER_PACKAGE) or []:
            if file.name == _CUSOLVER:
                ctypes.CDLL(os.fspath(file.locate()))


def prepare_cuda() -> None:
    """Set the environment variables that CUDA and TensorFlow read at their start.

    Call it before TensorFlow is imported. The driver then keeps all the kernels that it compiles for the GPU, and
    TensorFlow starts kernels from threads of their own, which the decoding of images does not occupy. Variables that
    are set already keep their value. The directory in CUDA_CACHE_PATH is created.
    """
    os.environ.setdefault("TF_GPU_THREAD_MODE", "gpu_private")
    os.environ.setdefault("CUDA_CACHE_MAXSIZE", str(_MAX_CACHE_BYTES))
    directory = os.environ.get("CUDA_CACHE_PATH")
    if directory and has_nvidia_gpu():
        with contextlib.suppress(OSError):  # The driver then compiles without a cache.
            os.makedirs(directory, exist_ok=True)


def find_cuda_cache() -> pathlib.Path | None:
    """Return the directory of compiled kernels, or None if the driver keeps none."""
    if os.environ.get("CUDA_CACHE_DISABLE", "0") not in ("", "0"):
        return None
    try:
        directory = pathlib.Path(os.environ.get("CUDA_CACHE_PATH") or _DEFAULT_CACHE).expanduser()
    except RuntimeError:  # A container may run without HOME and as a user ID without a user.
        return None
    existing = next(path for path in (directory, *directory.absolute().parents) if path.exists())
    return directory if os.access(existing, os.W_OK) else None
