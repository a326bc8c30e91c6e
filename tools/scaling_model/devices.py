"""Figures of GPUs from their vendor's data sheets."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from sagan_tf.errors import UserError

TENSOR_CORE_FORMATS = ("tf32", "bfloat16", "float16")
"""Number formats of which some GPUs multiply matrices in tensor cores."""


@dataclasses.dataclass(frozen=True)
class Device:
    """Figures of a GPU.

    Attributes:
        name: Common name of the GPU.
        memory_bytes: Size of its memory.
        memory_bandwidth: Bandwidth of its memory in bytes per second.
        peak_flops: FLOP per second in products of dense matrices, accumulated in float32, by number format.
        local_link: Bytes per second in one direction to the other GPUs of the machine, through NVLink or else PCIe.
        source: Data sheet of the figures.
    """

    name: str
    memory_bytes: float
    memory_bandwidth: float
    peak_flops: Mapping[str, float]
    local_link: float
    source: str

    def choose_number_format(self, precision: str) -> str:
        """Return the number format of matrix products under `--precision`.

        TensorFlow multiplies float32 in TF32 where the GPU has it
        (`tf.config.experimental.enable_tensor_float_32_execution` turns that off).

        Raises:
            UserError: The GPU has no units for the precision.
        """
        candidates = {"mixed_bfloat16": ("bfloat16",), "mixed_float16": ("float16",)}.get(
            precision, ("tf32", "float32")
        )
        for number_format in candidates:
            if number_format in self.peak_flops:
                return number_format
        known = ", ".join(self.peak_flops)
        raise UserError(
            f"precision: {self.name} has no units for {precision}, only for {known}; choose another --device"
        )


def _create_device(
    name: str, memory: float, bandwidth: float, teraflops: dict[str, float], local_link: float, source: str
) -> Device:
    """Create a device from figures in GB, GB/s, TFLOPS, and GB/s in one direction."""
    peak = {number_format: value * 1e12 for number_format, value in teraflops.items()}
    return Device(name, memory * 1e9, bandwidth * 1e9, peak, local_link * 1e9, source)


# If a data sheet gives tensor cores "with sparsity", or a link in both directions, half of that figure is used here.
DEVICES = {
    "P100": _create_device("P100", 16, 732, {"float32": 10.6}, 80, "Tesla P100 data sheet, NVLink version"),
    "V100": _create_device(
        "V100", 32, 900, {"float32": 15.7, "float16": 125}, 150, "V100 data sheet, SXM2 version of 32 GB"
    ),
    "T4": _create_device("T4", 16, 320, {"float32": 8.1, "float16": 65}, 16, "T4 data sheet"),
    "A100_40GB": _create_device(
        "A100_40GB",
        40,
        1555,
        {"float32": 19.5, "tf32": 156, "bfloat16": 312, "float16": 312},
        300,
        "A100 data sheet, SXM version of 40 GB",
    ),
    "A100": _create_device(
        "A100",
        80,
        2039,
        {"float32": 19.5, "tf32": 156, "bfloat16": 312, "float16": 312},
        300,
        "A100 data sheet, SXM version of 80 GB",
    ),
    "L4": _create_device(
        "L4", 24, 300, {"float32": 30.3, "tf32": 60, "bfloat16": 121, "float16": 121}, 32, "L4 data sheet"
    ),
    "H100": _create_device(
        "H100",
        80,
        3350,
        {"float32": 67, "tf32": 494.5, "bfloat16": 989.5, "float16": 989.5},
        450,
        "H100 data sheet, SXM version",
    ),
}
"""NVIDIA GPUs by their names on the command line."""
