"""GPUs by name: what their vendor's data sheets say of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from sagan_tf.errors import UserError

TENSOR_CORES = ("tf32", "bfloat16", "float16")
"""Number formats in which these GPUs have units of their own for matrix products."""


@dataclasses.dataclass(frozen=True)
class Device:
    """A GPU.

    Attributes:
        name: as people call it.
        memory_bytes: of the GPU.
        memory_bandwidth: bytes a second.
        peak_flops: number format -> FLOP a second in matrix products of dense matrices, accumulated in float32.
        local_link: bytes a second, in one direction, to the other GPUs of its machine: NVLink, or else PCIe.
        source: the data sheet.
    """

    name: str
    memory_bytes: float
    memory_bandwidth: float
    peak_flops: Mapping[str, float]
    local_link: float
    source: str

    def number_format(self, precision: str) -> str:
        """Return what this GPU multiplies in under `--precision`.

        TensorFlow multiplies float32 in TF32 where the GPU has it (`tf.config.experimental.enable_tensor_float_32_
        execution` turns that off).

        Raises:
            UserError: it has no units for the precision.
        """
        wanted = {"mixed_bfloat16": ("bfloat16",), "mixed_float16": ("float16",)}.get(precision, ("tf32", "float32"))
        for number_format in wanted:
            if number_format in self.peak_flops:
                return number_format
        known = ", ".join(self.peak_flops)
        raise UserError(f"precision: expected one that {self.name} has units for ({known}), received {precision}")


def _gpu(
    name: str, memory: float, bandwidth: float, teraflops: dict[str, float], local_link: float, source: str
) -> Device:
    """In the data sheets' units: GB, GB/s, TFLOPS, and GB/s in one direction."""
    peak = {number_format: value * 1e12 for number_format, value in teraflops.items()}
    return Device(name, memory * 1e9, bandwidth * 1e9, peak, local_link * 1e9, source)


# Where a sheet gives tensor cores "with sparsity", half of it; where it gives a link in both directions, half of it.
DEVICES = {
    "P100": _gpu("P100", 16, 732, {"float32": 10.6}, 80, "Tesla P100 data sheet, NVLink version"),
    "V100": _gpu("V100", 32, 900, {"float32": 15.7, "float16": 125}, 150, "V100 data sheet, SXM2 version of 32 GB"),
    "T4": _gpu("T4", 16, 320, {"float32": 8.1, "float16": 65}, 16, "T4 data sheet"),
    "A100_40GB": _gpu(
        "A100_40GB",
        40,
        1555,
        {"float32": 19.5, "tf32": 156, "bfloat16": 312, "float16": 312},
        300,
        "A100 data sheet, SXM version of 40 GB",
    ),
    "A100": _gpu(
        "A100",
        80,
        2039,
        {"float32": 19.5, "tf32": 156, "bfloat16": 312, "float16": 312},
        300,
        "A100 data sheet, SXM version of 80 GB",
    ),
    "L4": _gpu("L4", 24, 300, {"float32": 30.3, "tf32": 60, "bfloat16": 121, "float16": 121}, 32, "L4 data sheet"),
    "H100": _gpu(
        "H100",
        80,
        3350,
        {"float32": 67, "tf32": 494.5, "bfloat16": 989.5, "float16": 989.5},
        450,
        "H100 data sheet, SXM version",
    ),
}
"""Their names on the command line; all are NVIDIA's."""
