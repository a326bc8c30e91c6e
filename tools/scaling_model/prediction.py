"""Predicted time of a training step, from its work and the data sheets of GPUs; docs/scaling.md has the formulas."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import NamedTuple

# Assumed figures, which were not measured for this code; docs/scaling.md names the source of the first two.
UTILIZATION = 0.6  # fraction of the peak that matrix products reach
TENSOR_CORE_UTILIZATION = 0.25  # the same for tensor cores, which are harder to keep busy
BANDWIDTH_UTILIZATION = 0.8  # fraction of the memory bandwidth that all other operations reach
LAUNCH_SECONDS = 5e-6  # time in which TensorFlow launches an operation
NETWORK_LATENCY = 20e-6  # seconds from a worker to the next
LOCAL_LATENCY = 5e-6  # seconds from a GPU to the next in the same worker

_NUMBER_FORMATS = {
    "float32": ("tf32", "float32"),  # TensorFlow multiplies float32 in TF32 where the GPU has it
    "mixed_bfloat16": ("bfloat16",),
    "mixed_float16": ("float16",),
}


@dataclasses.dataclass(frozen=True)
class Device:
    """GPU: bytes of memory, bytes/s of the memory and to the next GPU of the machine, FLOP/s by number format."""

    name: str
    memory_bytes: float
    memory_bandwidth: float
    local_link: float
    peak_flops: Mapping[str, float]

    def list_number_formats(self, precision: str) -> list[str]:
        """Return the number formats that matrix products can have under `--precision`, fastest first."""
        return [name for name in _NUMBER_FORMATS[precision] if name in self.peak_flops]


# From NVIDIA's data sheets: dense matrix products accumulated in float32, and NVLink or else PCIe in one direction.
# Half of a figure that is given "with sparsity" or for both directions is used.
_A100_FLOPS = {"float32": 19.5e12, "tf32": 156e12, "bfloat16": 312e12, "float16": 312e12}
_L4_FLOPS = {"float32": 30.3e12, "tf32": 60e12, "bfloat16": 121e12, "float16": 121e12}
_H100_FLOPS = {"float32": 67e12, "tf32": 494.5e12, "bfloat16": 989.5e12, "float16": 989.5e12}
_DEVICES = (
    Device("P100", 16e9, 732e9, 80e9, {"float32": 10.6e12}),  # NVLink version
    Device("V100", 32e9, 900e9, 150e9, {"float32": 15.7e12, "float16": 125e12}),  # SXM2 version of 32 GB
    Device("T4", 16e9, 320e9, 16e9, {"float32": 8.1e12, "float16": 65e12}),
    Device("A100_40GB", 40e9, 1555e9, 300e9, _A100_FLOPS),  # SXM version of 40 GB
    Device("A100", 80e9, 2039e9, 300e9, _A100_FLOPS),  # SXM version of 80 GB
    Device("L4", 24e9, 300e9, 32e9, _L4_FLOPS),
    Device("H100", 80e9, 3350e9, 450e9, _H100_FLOPS),  # SXM version
)
DEVICES = {device.name: device for device in _DEVICES}


class Work(NamedTuple):
    """Work of a GPU.

    Attributes:
        flops: FLOP of convolutions and matrix products; a multiply-add counts as two.
        traffic_bytes: Bytes that all other operations read and write, each on its own, as TensorFlow runs them.
        operations: Number of operations that are launched on the GPU.
    """

    flops: float = 0.0
    traffic_bytes: float = 0.0
    operations: float = 0.0


class BatchWork(NamedTuple):
    """Work that grows linearly with the number of images in a batch."""

    fixed: Work
    per_image: Work

    def evaluate(self, images: int) -> Work:
        """Return the work of a batch."""
        return Work(*(fixed + images * slope for fixed, slope in zip(self.fixed, self.per_image, strict=True)))


class Reduction(NamedTuple):
    """All-reduces of one kind in a step: messages of one worker and of several, and bytes of all messages together."""

    name: str
    messages: int
    worker_messages: int
    num_bytes: int


class Cluster(NamedTuple):
    """Workers, the GPUs of each, and the speed of each worker's link to the next in Gbit/s in one direction."""

    workers: int = 1
    gpus_per_worker: int = 1
    link_gbits: float = 1.0

    @property
    def replicas(self) -> int:
        """Total number of GPUs."""
        return self.workers * self.gpus_per_worker


def compute_ring_seconds(num_bytes: float, messages: int, members: int, speed: float, latency: float) -> float:
    """Compute the time of consecutive all-reduces in a ring, whose links have a speed in bytes/s.

    A message has as many parts as the ring has members. In each of 2 (members - 1) rounds every member sends one part
    to the next: first until each member has one part of the sum, then until all members have the whole sum.
    """
    return 2 * (members - 1) * (num_bytes / members / speed + messages * latency)


def compute_all_reduce_seconds(num_bytes: float, messages: int, cluster: Cluster, local_link: float) -> float:
    """Compute the time of all-reduces in a ring within each worker and a ring of the workers.

    The GPUs of a worker first add up their values, so that each has a part of the worker's sum. The parts then travel
    around the ring of the workers through the one link of each worker, and at the end to all GPUs of the worker.
    """
    network = cluster.link_gbits * 1e9 / 8
    within = compute_ring_seconds(num_bytes, messages, cluster.gpus_per_worker, local_link, LOCAL_LATENCY)
    return within + compute_ring_seconds(num_bytes, messages, cluster.workers, network, NETWORK_LATENCY)


@dataclasses.dataclass(frozen=True)
class StepPrediction:
    """Predicted step of a cluster, in which each replica has `replica_images` real images in an update.

    Attributes:
        products: Seconds of convolutions and matrix products.
        traffic: Seconds of all other operations.
        launching: Seconds of launching all operations, in parallel with both.
        communication: Seconds of all-reduces, in parallel with nothing.
    """

    cluster: Cluster
    replica_images: int
    products: float
    traffic: float
    launching: float
    communication: float

    @property
    def compute(self) -> float:
        """Seconds without communication."""
        return max(self.products + self.traffic, self.launching)

    @property
    def seconds(self) -> float:
        """Seconds of the whole step."""
        return self.compute + self.communication

    @property
    def images_per_second(self) -> float:
        """Images of all replicas in an update per second of the step."""
        return self.cluster.replicas * self.replica_images / self.seconds


@dataclasses.dataclass(frozen=True)
class ScalingModel:
    """Model of a step on a device, with one of its number formats and the fraction of its peak that products reach."""

    work: BatchWork
    reductions: Sequence[Reduction]
    device: Device
    number_format: str
    utilization: float

    def predict(self, replica_images: int, cluster: Cluster) -> StepPrediction:
        """Predict a step in which each replica has `replica_images` images."""
        work, device = self.work.evaluate(replica_images), self.device
        num_bytes = sum(kind.num_bytes for kind in self.reductions)
        messages = sum(kind.messages if cluster.workers == 1 else kind.worker_messages for kind in self.reductions)
        return StepPrediction(
            cluster,
            replica_images,
            products=work.flops / (device.peak_flops[self.number_format] * self.utilization),
            traffic=work.traffic_bytes / (device.memory_bandwidth * BANDWIDTH_UTILIZATION),
            launching=work.operations * LAUNCH_SECONDS,
            communication=compute_all_reduce_seconds(num_bytes, messages, cluster, device.local_link),
        )

    def compute_efficiency(self, step: StepPrediction, images_alone: int) -> float:
        """Compute the speed of a step as a fraction of that of as many GPUs, each as fast as one GPU alone.

        The one GPU has `images_alone` images: the global batch in strong scaling, a replica's images in weak scaling.
        """
        alone = self.predict(images_alone, Cluster())
        return step.images_per_second / (step.cluster.replicas * alone.images_per_second)
