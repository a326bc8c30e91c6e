"""Simulated GPUs and GPU software."""

import dataclasses
from typing import Any

import pytest
import tensorflow as tf

from sagan_tf.distribution import gpu_preflight
from sagan_tf.distribution.gpu_findings import Gpu
from sagan_tf.distribution.gpu_software import GpuSoftware

P100, V100, T4 = Gpu("Tesla P100", (6, 0)), Gpu("Tesla V100", (7, 0)), Gpu("Tesla T4", (7, 5))
A10, H100, RTX_5090 = Gpu("NVIDIA A10", (8, 6)), Gpu("NVIDIA H100", (9, 0)), Gpu("GeForce RTX 5090", (12, 0))
K80 = Gpu("Tesla K80", (3, 7))

SOFTWARE = GpuSoftware(
    tensorflow="2.21.0",
    compute_capabilities=("sm_60", "sm_70", "sm_80", "sm_89", "compute_90"),
    cuda=(12, 5),
    driver_cuda=(12, 9),
    cudnn=(9, 10),
    min_cudnn=(9, 3),
)
"""The software that the constraints of tools/launch install, with a new driver."""


def simulate_gpus(monkeypatch: pytest.MonkeyPatch, *gpus: Gpu, **software: Any) -> None:
    """Let this process see simulated GPUs and software, and clear the record of logged findings."""
    devices = {f"GPU:{index}": gpu for index, gpu in enumerate(gpus)}
    details = {name: {"device_name": gpu.name, "compute_capability": gpu.capability} for name, gpu in devices.items()}
    list_devices = tf.config.list_physical_devices
    monkeypatch.setattr(
        tf.config, "list_physical_devices", lambda kind=None: list(devices) if kind == "GPU" else list_devices(kind)
    )
    monkeypatch.setattr(tf.config, "get_visible_devices", lambda kind: list(devices))
    monkeypatch.setattr(tf.config.experimental, "get_device_details", details.get)
    simulated = dataclasses.replace(SOFTWARE, **software)
    monkeypatch.setattr(gpu_preflight, "read_gpu_software", lambda: simulated)
    monkeypatch.setattr(gpu_preflight, "_logged", set())
    monkeypatch.delenv(gpu_preflight.PREFLIGHT_VARIABLE, raising=False)
    monkeypatch.setenv("TF_FORCE_GPU_ALLOW_GROWTH", "true")  # TensorFlow cannot set memory growth of simulated devices.
    monkeypatch.setattr(tf.config, "set_visible_devices", lambda devices, kind: None)
