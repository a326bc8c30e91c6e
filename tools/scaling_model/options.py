"""Options of `tools/scaling.py` besides those of a configuration."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from sagan_tf.config.option import option
from sagan_tf.errors import UserError
from tools.scaling_model.communication import Cluster, Link
from tools.scaling_model.devices import DEVICES, Device
from tools.scaling_model.prediction import Assumptions

TABLE_NAMES = ("step", "reductions", "device", "strong", "weak", "input", "memory", "run")
_DATA_SHEET_DEFAULT = "; unset: the data sheet's"


@dataclasses.dataclass(frozen=True)
class ScalingOptions:
    """Machines, and assumptions about them."""

    workers: tuple[int, ...] = option((1, 2, 4, 8, 16, 32), "Comma list of numbers of workers.")
    gpus_per_worker: int = option(1, "GPUs in each worker.")
    link_gbits: tuple[float, ...] = option(
        (10.0, 25.0, 100.0), "Comma list of speeds of a worker's link to the others, Gbit/s in each direction."
    )
    link_latency_us: float = option(20.0, "Microseconds that a message takes to the next worker.")
    device: str = option("A100", "The GPU.", choices=tuple(DEVICES))
    tflops: float | None = option(None, f"Its peak in matrix products, TFLOP/s{_DATA_SHEET_DEFAULT} for --precision.")
    memory_gbytes: float | None = option(None, f"Its memory, GB{_DATA_SHEET_DEFAULT}.")
    bandwidth_gbytes: float | None = option(None, f"Its memory's bandwidth, GB/s{_DATA_SHEET_DEFAULT}.")
    local_link_gbytes: float | None = option(
        None, f"Speed between the GPUs of a worker, GB/s in one direction{_DATA_SHEET_DEFAULT}."
    )
    local_latency_us: float = option(5.0, "Microseconds that a message takes to the next GPU of a worker.")
    utilization: float | None = option(
        None, "Share of the peak that products reach; unset: 0.25 with tensor cores, 0.6 without."
    )
    bandwidth_utilization: float = option(0.8, "Share of the bandwidth that everything else reaches.")
    launch_us: float = option(5.0, "Microseconds in which TensorFlow launches an operation; 0: no limit.")
    overlap: float = option(0.0, "Share of the communication that goes on while GPUs compute, 0 to 1.")
    replica_batch_size: int = option(32, "Images of a replica in weak scaling and in the table of memory.")
    jpeg_kbytes: float = option(110.0, "Mean size of an original image, kB.")
    price_per_hour: float | None = option(None, "Price of --device for an hour, in any currency; unset: no prices.")
    tables: tuple[str, ...] = option(TABLE_NAMES, "Comma list of the tables to print.", choices=TABLE_NAMES)
    json: str = option("", "File to write the figures to; empty: none.")

    def __post_init__(self) -> None:
        for name in ("workers", "link_gbits", "tables"):
            if not getattr(self, name):
                raise UserError(f"{name}: expected a comma list, received an empty one")
        for name in ("workers", "gpus_per_worker", "link_gbits", "replica_batch_size", "jpeg_kbytes"):
            self._check(name, lambda value: value > 0, "above 0")
        for name in ("tflops", "memory_gbytes", "bandwidth_gbytes", "local_link_gbytes", "price_per_hour"):
            self._check(name, lambda value: value > 0, "above 0")
        for name in ("link_latency_us", "local_latency_us", "launch_us"):
            self._check(name, lambda value: value >= 0, "of at least 0")
        for name in ("utilization", "bandwidth_utilization"):
            self._check(name, lambda value: 0 < value <= 1, "above 0 and at most 1")
        self._check("overlap", lambda value: 0 <= value <= 1, "from 0 to 1")

    def create_device(self, precision: str) -> Device:
        """Return the GPU, with given figures in place of those of its data sheet."""
        device = DEVICES[self.device]
        changes: dict[str, Any] = {}
        if self.tflops is not None:
            changes["peak_flops"] = {**device.peak_flops, device.choose_number_format(precision): 1e12 * self.tflops}
        for field, given in (
            ("memory_bytes", self.memory_gbytes),
            ("memory_bandwidth", self.bandwidth_gbytes),
            ("local_link", self.local_link_gbytes),
        ):
            if given is not None:
                changes[field] = 1e9 * given
        return dataclasses.replace(device, **changes)

    def create_assumptions(self) -> Assumptions:
        """Return the assumptions about every GPU."""
        return Assumptions(self.utilization, self.bandwidth_utilization, 1e-6 * self.launch_us, self.overlap)

    def create_cluster(self, workers: int, gpus_per_worker: int, link_gbits: float, device: Device) -> Cluster:
        """Create a cluster whose network has a speed in Gbit/s."""
        network = Link(link_gbits * 1e9 / 8, 1e-6 * self.link_latency_us)
        local = Link(device.local_link, 1e-6 * self.local_latency_us)
        return Cluster(workers, gpus_per_worker, network, local)

    def _check(self, name: str, is_valid: Callable[[Any], bool], expected: str) -> None:
        value = getattr(self, name)
        for number in value if isinstance(value, tuple) else (value,):
            if number is not None and not is_valid(number):
                raise UserError(f"{name}: expected a number {expected}, received {number}")
