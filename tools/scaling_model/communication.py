"""Duration of an all-reduce between the GPUs of one or several machines."""

from __future__ import annotations

import dataclasses

_FLOAT32_BYTES = 4


@dataclasses.dataclass(frozen=True)
class Reduction:
    """All-reduces of one kind.

    Attributes:
        name: Name of the values that are added up.
        messages: Number of all-reduces in a step of one worker.
        worker_messages: Number of all-reduces in a step of several workers, which send gradients in packs.
        values: Total number of float32 values in all of them, whatever the precision of the networks.
    """

    name: str
    messages: int
    worker_messages: int
    values: int

    @property
    def num_bytes(self) -> int:
        """Total bytes of all messages of a step."""
        return _FLOAT32_BYTES * self.values


@dataclasses.dataclass(frozen=True)
class Link:
    """Link from one member of a ring to the next.

    Attributes:
        bytes_per_second: Bandwidth in one direction.
        latency: Seconds until the first byte arrives.
    """

    bytes_per_second: float
    latency: float


@dataclasses.dataclass(frozen=True)
class Cluster:
    """Machines of a run.

    Attributes:
        workers: Number of machines, or of processes that TF_CONFIG lists.
        gpus_per_worker: Number of replicas in each worker.
        network: Link between the workers, which the GPUs of a worker share.
        local: Link between the GPUs of a worker.
    """

    workers: int
    gpus_per_worker: int
    network: Link
    local: Link

    @property
    def replicas(self) -> int:
        """Total number of GPUs."""
        return self.workers * self.gpus_per_worker


def compute_ring_seconds(num_bytes: float, messages: int, members: int, link: Link) -> float:
    """Compute the time of consecutive all-reduces in a ring.

    A message is divided into as many parts as there are members. In each of 2 (members - 1) rounds every member sends
    one part to the next member: first until each member has one part of the sum, then until all members have the whole
    sum.

    Args:
        num_bytes: Total bytes of all messages.
        messages: Number of messages.
        members: Members of the ring; a single member sends nothing.
        link: Link from each member to the next.

    Returns:
        Seconds.
    """
    rounds = 2 * (members - 1)
    return rounds * (num_bytes / members / link.bytes_per_second + messages * link.latency)


def compute_all_reduce_seconds(num_bytes: float, messages: int, cluster: Cluster) -> float:
    """Compute the time of all-reduces over a cluster.

    There is a ring within each worker, and a ring of the workers. The GPUs of a worker first add up their values, so
    that each GPU has its part of the worker's sum. The parts then travel around the ring of the workers, all through
    the one network link of each worker. At the end they are distributed within the worker.

    Args:
        num_bytes: Total bytes of all messages.
        messages: Number of messages.
        cluster: The workers and their links.

    Returns:
        Seconds.
    """
    within = compute_ring_seconds(num_bytes, messages, cluster.gpus_per_worker, cluster.local)
    between = compute_ring_seconds(num_bytes, messages, cluster.workers, cluster.network)
    return within + between
