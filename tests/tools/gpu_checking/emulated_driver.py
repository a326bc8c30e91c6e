"""Emulation of NVIDIA's driver library with several GPUs."""

# ruff: noqa: N802 - the methods have the names of the CUDA driver API
from __future__ import annotations

import ctypes
import os
import uuid
from typing import Any

from tools.gpu_checking.cuda_devices import CudaDevice

DISPLAY = CudaDevice("NVIDIA T400", 2 * 2**30, "GPU-11111111-2222-3333-4444-555555555555")
A100 = CudaDevice("NVIDIA A100-SXM4-40GB", 40 * 2**30, "GPU-01234567-89ab-cdef-0123-456789abcdef")

_NO_DEVICE = 100


class EmulatedDriver:
    """Replacement of `ctypes.CDLL` and the library; it applies CUDA_VISIBLE_DEVICES (numbers, UUIDs) like CUDA.

    Args:
        devices: The GPUs of the machine.
        failing: Name of a function that returns an error.
    """

    def __init__(self, devices: list[CudaDevice], failing: str = "") -> None:
        self._devices, self._failing = devices, failing

    def __call__(self, name: str) -> EmulatedDriver:
        assert name == "libcuda.so.1"
        return self

    def _visible(self) -> list[CudaDevice]:
        wanted = os.environ.get("CUDA_VISIBLE_DEVICES")
        by_name = {str(number): device for number, device in enumerate(self._devices)}
        by_name |= {device.uuid: device for device in self._devices}
        return self._devices if wanted is None else [by_name[name] for name in wanted.split(",") if name in by_name]

    def _status(self, function: str) -> int:
        return _NO_DEVICE if function == self._failing else 0

    def cuInit(self, flags: int) -> int:
        return self._status("cuInit")

    def cuDeviceGetCount(self, count: Any) -> int:
        count._obj.value = len(self._visible())
        return self._status("cuDeviceGetCount")

    def cuDeviceGet(self, device: Any, number: int) -> int:
        device._obj.value = number
        return self._status("cuDeviceGet")

    def cuDeviceGetName(self, name: Any, length: int, device: ctypes.c_int) -> int:
        name.value = self._visible()[device.value].name.encode()
        return self._status("cuDeviceGetName")

    def cuDeviceTotalMem_v2(self, memory: Any, device: ctypes.c_int) -> int:
        memory._obj.value = self._visible()[device.value].memory_bytes
        return self._status("cuDeviceTotalMem_v2")

    def cuDeviceGetUuid(self, uuid_bytes: Any, device: ctypes.c_int) -> int:
        uuid_bytes.raw = uuid.UUID(self._visible()[device.value].uuid.removeprefix("GPU-")).bytes
        return self._status("cuDeviceGetUuid")
