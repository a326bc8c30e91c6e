"""GPUs as NVIDIA's driver shows them to this process."""

from __future__ import annotations

import ctypes
import uuid
from typing import NamedTuple

_DRIVER = "libcuda.so.1"
_MAX_NAME = 256


class CudaDevice(NamedTuple):
    """A GPU: its name, its memory in bytes, and its UUID as `nvidia-smi` writes it."""

    name: str
    memory_bytes: int
    uuid: str


def list_cuda_devices() -> list[CudaDevice]:
    """Return the GPUs that CUDA lets this process use, in its order; none without a driver.

    The driver itself has applied CUDA_VISIBLE_DEVICES (numbers, UUIDs, MIG instances) and CUDA_DEVICE_ORDER, so that
    these are the GPUs of TensorFlow, in its order. `nvidia-smi` lists all GPUs, in an order that may be another.
    """
    count = ctypes.c_int()
    try:
        driver = ctypes.CDLL(_DRIVER)
        if driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count)):
            return []
        found = [_describe(driver, number) for number in range(count.value)]
    except (OSError, AttributeError):  # no driver, or one that is too old for TensorFlow
        return []
    return [device for device in found if device]


def _describe(driver: ctypes.CDLL, number: int) -> CudaDevice | None:
    device, memory = ctypes.c_int(), ctypes.c_size_t()
    name, identity = ctypes.create_string_buffer(_MAX_NAME), ctypes.create_string_buffer(16)
    failed = (
        driver.cuDeviceGet(ctypes.byref(device), number)
        or driver.cuDeviceGetName(name, _MAX_NAME, device)
        or driver.cuDeviceTotalMem_v2(ctypes.byref(memory), device)
        or driver.cuDeviceGetUuid(identity, device)
    )
    if failed:
        return None
    return CudaDevice(name.value.decode(errors="replace"), memory.value, f"GPU-{uuid.UUID(bytes=identity.raw)}")
