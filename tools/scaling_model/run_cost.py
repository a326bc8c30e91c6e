"""Time and GPU-hours of a whole run in one machine, for every GPU."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from sagan_tf.errors import UserError
from tools.scaling_model.communication import Cluster, Link
from tools.scaling_model.devices import Device
from tools.scaling_model.memory import ReplicaMemory
from tools.scaling_model.prediction import Prediction, ScalingModel

GPU_COUNTS = (1, 4, 8)
_SECONDS_PER_HOUR = 3600.0


@dataclasses.dataclass(frozen=True)
class RunCost:
    """Cost of a whole run.

    Attributes:
        device: Model of the GPUs.
        gpus: Number of GPUs, all in one machine.
        step_seconds: Duration of a step.
        run_seconds: Duration of the run, without evaluations, samples and checkpoints.
        fits: Whether the batch of a replica fits into its memory, by training's estimate of the minimum. If not, the
            run needs gradient accumulation and takes about the same time.
    """

    device: Device
    gpus: int
    step_seconds: float
    run_seconds: float
    fits: bool

    @property
    def gpu_hours(self) -> float:
        """Total hours of all GPUs."""
        return self.gpus * self.run_seconds / _SECONDS_PER_HOUR


def compute_run_costs(
    model: ScalingModel,
    devices: Iterable[Device],
    global_batch_size: int,
    num_steps: int,
    memory: ReplicaMemory,
    local_latency: float,
) -> list[list[RunCost]]:
    """Compute the cost of a run on several devices.

    Args:
        model: Scaling model of the run on any device.
        devices: Devices to compare; those without units for the model's precision are left out.
        global_batch_size: Images of a batch.
        num_steps: Steps of the run.
        memory: Memory of a replica.
        local_latency: Seconds that a message takes to the next GPU of the machine.

    Returns:
        A list for each device, with one cost for each of `GPU_COUNTS` by which the global batch can be divided.
    """
    costs = []
    for device in devices:
        try:
            device.choose_number_format(model.precision)
        except UserError:
            continue
        on_device = dataclasses.replace(model, device=device)
        clusters = [Cluster(1, gpus, Link(1.0, 0.0), Link(device.local_link, local_latency)) for gpus in GPU_COUNTS]
        predictions = [on_device.predict_strong_scaling(global_batch_size, cluster) for cluster in clusters]
        costs.append(
            [
                _compute_run_cost(device, prediction, model.accumulation, num_steps, memory)
                for prediction in predictions
                if prediction is not None
            ]
        )
    return costs


def _compute_run_cost(
    device: Device, step: Prediction, accumulation: int, num_steps: int, memory: ReplicaMemory
) -> RunCost:
    fits = memory.compute_bytes(step.replica_images // accumulation) <= device.memory_bytes
    seconds = step.time.total
    return RunCost(device, step.cluster.replicas, seconds, num_steps * seconds, fits)
