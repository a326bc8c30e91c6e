"""Time and GPU-hours of a whole run in one machine, on every named GPU."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from sagan_tf.errors import UserError
from tools.scaling_model.communication import Cluster, Link
from tools.scaling_model.devices import Device
from tools.scaling_model.memory import ReplicaMemory
from tools.scaling_model.prediction import Model, Prediction

GPU_COUNTS = (1, 4, 8)
_SECONDS_OF_HOUR = 3600.0


@dataclasses.dataclass(frozen=True)
class RunCost:
    """A whole run.

    Attributes:
        device: the GPUs.
        gpus: their number, in one machine.
        step_seconds: of a step.
        run_seconds: of the run, without evaluations, samples and checkpoints.
        fits: whether a replica's batch fits into its memory by training's estimate of the least; where it doesn't, it
            takes gradient accumulation, in about the same time.
    """

    device: Device
    gpus: int
    step_seconds: float
    run_seconds: float
    fits: bool

    @property
    def gpu_hours(self) -> float:
        """Hours of all GPUs together."""
        return self.gpus * self.run_seconds / _SECONDS_OF_HOUR


def run_costs(
    model: Model,
    devices: Iterable[Device],
    global_batch_size: int,
    num_steps: int,
    memory: ReplicaMemory,
    local_latency: float,
) -> list[list[RunCost]]:
    """A list for each device that has units for the model's precision, in it one for each of `GPU_COUNTS` that the
    global batch can be cut into.
    """
    costs = []
    for device in devices:
        try:
            device.number_format(model.precision)
        except UserError:
            continue
        on_device = dataclasses.replace(model, device=device)
        clusters = [Cluster(1, gpus, Link(1.0, 0.0), Link(device.local_link, local_latency)) for gpus in GPU_COUNTS]
        found = [on_device.strong(global_batch_size, cluster) for cluster in clusters]
        costs.append([_cost(device, one, model.accumulation, num_steps, memory) for one in found if one is not None])
    return costs


def _cost(device: Device, step: Prediction, accumulation: int, num_steps: int, memory: ReplicaMemory) -> RunCost:
    fits = memory.of(step.replica_images // accumulation) <= device.memory_bytes
    seconds = step.time.total
    return RunCost(device, step.cluster.replicas, seconds, num_steps * seconds, fits)
