"""GPUs that NVIDIA's driver makes visible to this process."""

from __future__ import annotations

import ctypes
import uuid
from typing import NamedTuple

_DRIVER = "libcuda.so.1"
_MAX_NAME_BYTES = 256


class CudaDevice(NamedTuple):
    """A GPU.

    Attributes:
        name: Name of the model.
        memory_bytes: Memory in bytes.
        uuid: UUID in the format of `nvidia-smi`.
    """

    name: str
    memory_bytes: int
    uuid: str


def list_cuda_devices() -> list[CudaDevice]:
    """Return the GPUs that CUDA lets this process use, in CUDA's order.

    The driver itself has applied CUDA_VISIBLE_DEVICES (numbers, UUIDs, MIG instances) and CUDA_DEVICE_ORDER, so that
    these are the GPUs of TensorFlow, in its order. `nvidia-smi` lists all GPUs, possibly in a different order. Without
    a driver the list is empty.
    """
    count = ctypes.c_int()
    try:
        driver = ctypes.CDLL(_DRIVER)
        if driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count)):
            return []
        found = [_describe_device(driver, number) for number in range(count.value)]
    except (OSError, AttributeError):  # There is no driver, or it is too old for TensorFlow.
        return []
    return [device for device in found if device]


def _describe_device(driver: ctypes.CDLL, number: int) -> CudaDevice | None:
    device, memory = ctypes.c_int(), ctypes.c_size_t()
    name, uuid_bytes = ctypes.create_string_buffer(_MAX_NAME_BYTES), ctypes.create_string_buffer(16)
    failed = (
        driver.cuDeviceGet(ctypes.byref(device), number)
        or driver.cuDeviceGetName(name, _MAX_NAME_BYTES, device)
        or driver.cuDeviceTotalMem_v2(ctypes.byref(memory), device)
        or driver.cuDeviceGetUuid(uuid_bytes, device)
    )
    if failed:
        return None
    return CudaDevice(name.value.decode(errors="replace"), memory.value, f"GPU-{uuid.UUID(bytes=uuid_bytes.raw)}")
