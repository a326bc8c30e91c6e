"""How long a step takes on a cluster, and how much of the GPUs' speed arrives."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from tools.scaling_model.communication import Cluster, Reduction, all_reduce_seconds
from tools.scaling_model.devices import TENSOR_CORES, Device

if TYPE_CHECKING:
    from tools.scaling_model.work import BatchWork


@dataclasses.dataclass(frozen=True)
class Assumptions:
    """What nobody has measured for this code.

    Attributes:
        utilization: share of a GPU's peak that products reach; None: `usual_utilization`.
        bandwidth_utilization: share of its memory's bandwidth that all other operations reach.
        launch_seconds: time in which TensorFlow launches an operation.
        overlap: share of the communication that goes on while the GPU computes.
    """

    utilization: float | None = None
    bandwidth_utilization: float = 0.8
    launch_seconds: float = 5e-6
    overlap: float = 0.0


def usual_utilization(number_format: str) -> float:
    """0.6 for ordinary units, 0.25 for tensor cores, which are harder to keep fed (docs/scaling.md says where from)."""
    return 0.25 if number_format in TENSOR_CORES else 0.6


@dataclasses.dataclass(frozen=True)
class StepTime:
    """Seconds of a step.

    Attributes:
        products: of convolutions and matrix products.
        traffic: of everything else.
        launching: of all operations; goes on beside the two others.
        communication: of all all-reduces.
        exposed: the part of it that the GPUs wait for.
    """

    products: float
    traffic: float
    launching: float
    communication: float
    exposed: float

    @property
    def compute(self) -> float:
        """What a replica takes alone."""
        return max(self.products + self.traffic, self.launching)

    @property
    def total(self) -> float:
        """Of the whole step."""
        return self.compute + self.exposed


@dataclasses.dataclass(frozen=True)
class Prediction:
    """A step on a cluster.

    Attributes:
        cluster: where.
        replica_images: real images of a replica in a discriminator update.
        time: of the step.
        efficiency: share of the speed of as many GPUs, each as fast as one is alone.
    """

    cluster: Cluster
    replica_images: int
    time: StepTime
    efficiency: float


@dataclasses.dataclass(frozen=True)
class Model:
    """The scaling model of a configuration on a device.

    Args:
        work: of a replica in a step, by its images.
        reductions: what is all-reduced in a step.
        device: each replica.
        precision: `config.training.precision`.
        accumulation: `config.training.gradient_accumulation_steps`.
        assumptions: the rest.
    """

    work: BatchWork
    reductions: tuple[Reduction, ...]
    device: Device
    precision: str
    accumulation: int = 1
    assumptions: Assumptions = Assumptions()

    @property
    def utilization(self) -> float:
        """Share of the device's peak that products are taken to reach."""
        given = self.assumptions.utilization
        return usual_utilization(self.device.number_format(self.precision)) if given is None else given

    def step_time(self, replica_images: float, cluster: Cluster) -> StepTime:
        """Of a step in which each replica has `replica_images` images."""
        work, assumed = self.work.of(replica_images), self.assumptions
        peak = self.device.peak_flops[self.device.number_format(self.precision)]
        kind = "messages" if cluster.workers == 1 else "worker_messages"
        num_bytes, messages = (sum(getattr(one, key) for one in self.reductions) for key in ("num_bytes", kind))
        communication = all_reduce_seconds(num_bytes, messages, cluster)
        return StepTime(
            products=work.flops / (peak * self.utilization),
            traffic=work.traffic_bytes / (self.device.memory_bandwidth * assumed.bandwidth_utilization),
            launching=work.operations * assumed.launch_seconds,
            communication=communication,
            exposed=communication * (1.0 - assumed.overlap),
        )

    def strong(self, global_batch_size: int, cluster: Cluster) -> Prediction | None:
        """Predict one global batch on n replicas, efficiency T(1) / (n T(n)); None if n does not divide the batch."""
        if global_batch_size % (cluster.replicas * self.accumulation):
            return None
        images = global_batch_size // cluster.replicas
        time = self.step_time(images, cluster)
        alone = self.step_time(global_batch_size, _one_of(cluster))
        return Prediction(cluster, images, time, alone.total / (cluster.replicas * time.total))

    def weak(self, replica_images: int, cluster: Cluster) -> Prediction:
        """As many images on each replica, however many: efficiency T(1) / T(n)."""
        time = self.step_time(replica_images, cluster)
        alone = self.step_time(replica_images, _one_of(cluster))
        return Prediction(cluster, replica_images, time, alone.total / time.total)


def _one_of(cluster: Cluster) -> Cluster:
    return dataclasses.replace(cluster, workers=1, gpus_per_worker=1)
