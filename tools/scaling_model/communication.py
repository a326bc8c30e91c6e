"""How long an all-reduce takes between GPUs of one machine and of several."""

from __future__ import annotations

import dataclasses

_FLOAT32_BYTES = 4


@dataclasses.dataclass(frozen=True)
class Reduction:
    """One kind of all-reduce.

    Attributes:
        name: of what is added up.
        messages: all-reduces in a step of one worker.
        worker_messages: all-reduces in a step of several workers, which send gradients in packs.
        values: float32 numbers in all of them together, whatever the precision of the networks.
    """

    name: str
    messages: int
    worker_messages: int
    values: int

    @property
    def num_bytes(self) -> int:
        """Of all messages of a step together."""
        return _FLOAT32_BYTES * self.values


@dataclasses.dataclass(frozen=True)
class Link:
    """What one member of a ring sends to the next through.

    Attributes:
        bytes_per_second: in one direction.
        latency: seconds until the first byte arrives.
    """

    bytes_per_second: float
    latency: float


@dataclasses.dataclass(frozen=True)
class Cluster:
    """Where a run computes.

    Attributes:
        workers: machines, or processes that TF_CONFIG lists.
        gpus_per_worker: replicas in each.
        network: between the workers; the GPUs of a worker share it.
        local: between the GPUs of a worker.
    """

    workers: int
    gpus_per_worker: int
    network: Link
    local: Link

    @property
    def replicas(self) -> int:
        """GPUs in all."""
        return self.workers * self.gpus_per_worker


def ring_seconds(num_bytes: float, messages: int, members: int, link: Link) -> float:
    """Time of all-reduces, one after another, in a ring.

    A message is cut into as many parts as there are members. In each of 2 (members - 1) rounds every member sends one
    part to the next: first until each has one part of the sum, then until all have all of it.

    Args:
        num_bytes: of all messages together.
        messages: their number.
        members: of the ring; one has nothing to send.
        link: from each member to the next.
    """
    rounds = 2 * (members - 1)
    return rounds * (num_bytes / members / link.bytes_per_second + messages * link.latency)


def all_reduce_seconds(num_bytes: float, messages: int, cluster: Cluster) -> float:
    """Time of all-reduces over a cluster: in a ring within each worker, and in one of the workers.

    The GPUs of a worker first add up among themselves, so that each has its part of the worker's sum; the parts then go
    round the workers, all through the worker's one link to the network; at the end they are handed round the worker.
    """
    within = ring_seconds(num_bytes, messages, cluster.gpus_per_worker, cluster.local)
    between = ring_seconds(num_bytes, messages, cluster.workers, cluster.network)
    return within + between
