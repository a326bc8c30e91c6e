"""Predictions of the duration of a step on a cluster, and of its efficiency."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from tools.scaling_model.communication import Cluster, Reduction, compute_all_reduce_seconds
from tools.scaling_model.devices import TENSOR_CORE_FORMATS, Device

if TYPE_CHECKING:
    from tools.scaling_model.work import BatchWork


@dataclasses.dataclass(frozen=True)
class Assumptions:
    """Figures that have not been measured for this code.

    Attributes:
        utilization: Fraction of a GPU's peak that matrix products reach; None: `get_default_utilization`.
        bandwidth_utilization: Fraction of the memory bandwidth that all other operations reach.
        launch_seconds: Time in which TensorFlow launches an operation.
        overlap: Fraction of the communication that takes place while the GPU computes.
    """

    utilization: float | None = None
    bandwidth_utilization: float = 0.8
    launch_seconds: float = 5e-6
    overlap: float = 0.0


def get_default_utilization(number_format: str) -> float:
    """Return the assumed utilization of units with a number format.

    It is 0.6 for ordinary units and 0.25 for tensor cores, which are harder to keep busy; docs/scaling.md names the
    sources.
    """
    return 0.25 if number_format in TENSOR_CORE_FORMATS else 0.6


@dataclasses.dataclass(frozen=True)
class StepTime:
    """Seconds of a step.

    Attributes:
        products: Time of convolutions and matrix products.
        traffic: Time of all other operations.
        launching: Time of launching all operations, which runs in parallel with the two above.
        communication: Time of all all-reduces.
        exposed: Part of the communication for which the GPUs wait.
    """

    products: float
    traffic: float
    launching: float
    communication: float
    exposed: float

    @property
    def compute(self) -> float:
        """Time of a step without communication."""
        return max(self.products + self.traffic, self.launching)

    @property
    def total(self) -> float:
        """Time of the whole step."""
        return self.compute + self.exposed


@dataclasses.dataclass(frozen=True)
class Prediction:
    """Prediction of a step on a cluster.

    Attributes:
        cluster: The cluster.
        replica_images: Real images of a replica in an update of the discriminator.
        time: Time of the step.
        efficiency: Speed as a fraction of that of the same number of GPUs, each as fast as a single GPU.
    """

    cluster: Cluster
    replica_images: int
    time: StepTime
    efficiency: float


@dataclasses.dataclass(frozen=True)
class ScalingModel:
    """Scaling model of a configuration on a device.

    Args:
        work: Work of a replica in a step, by its number of images.
        reductions: All-reduces of a step.
        device: GPU of each replica.
        precision: `config.training.precision`.
        accumulation: `config.training.gradient_accumulation_steps`.
        assumptions: The remaining figures.
    """

    work: BatchWork
    reductions: tuple[Reduction, ...]
    device: Device
    precision: str
    accumulation: int = 1
    assumptions: Assumptions = Assumptions()

    @property
    def utilization(self) -> float:
        """Assumed fraction of the device's peak that products reach."""
        given = self.assumptions.utilization
        return get_default_utilization(self.device.choose_number_format(self.precision)) if given is None else given

    def predict_step_time(self, replica_images: float, cluster: Cluster) -> StepTime:
        """Predict a step in which each replica has `replica_images` images."""
        work, assumptions = self.work.evaluate(replica_images), self.assumptions
        peak = self.device.peak_flops[self.device.choose_number_format(self.precision)]
        kind = "messages" if cluster.workers == 1 else "worker_messages"
        num_bytes, messages = (
            sum(getattr(reduction, key) for reduction in self.reductions) for key in ("num_bytes", kind)
        )
        communication = compute_all_reduce_seconds(num_bytes, messages, cluster)
        return StepTime(
            products=work.flops / (peak * self.utilization),
            traffic=work.traffic_bytes / (self.device.memory_bandwidth * assumptions.bandwidth_utilization),
            launching=work.operations * assumptions.launch_seconds,
            communication=communication,
            exposed=communication * (1.0 - assumptions.overlap),
        )

    def predict_strong_scaling(self, global_batch_size: int, cluster: Cluster) -> Prediction | None:
        """Predict a step with one global batch on n replicas.

        The efficiency is T(1) / (n T(n)). The result is None if the batch cannot be divided into n parts.
        """
        if global_batch_size % (cluster.replicas * self.accumulation):
            return None
        images = global_batch_size // cluster.replicas
        time = self.predict_step_time(images, cluster)
        alone = self.predict_step_time(global_batch_size, _reduce_to_one_gpu(cluster))
        return Prediction(cluster, images, time, alone.total / (cluster.replicas * time.total))

    def predict_weak_scaling(self, replica_images: int, cluster: Cluster) -> Prediction:
        """Predict a step with a fixed number of images per replica.

        The efficiency is T(1) / T(n).
        """
        time = self.predict_step_time(replica_images, cluster)
        alone = self.predict_step_time(replica_images, _reduce_to_one_gpu(cluster))
        return Prediction(cluster, replica_images, time, alone.total / time.total)


def _reduce_to_one_gpu(cluster: Cluster) -> Cluster:
    return dataclasses.replace(cluster, workers=1, gpus_per_worker=1)
