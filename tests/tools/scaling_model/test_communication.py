"""All-reduces, compared with closed forms and a simulated ring."""

from __future__ import annotations

import pytest

from tools.scaling_model.communication import Cluster, Link, Reduction, compute_all_reduce_seconds, compute_ring_seconds

LINK = Link(bytes_per_second=2e9, latency=3e-6)
FREE = Link(bytes_per_second=1e30, latency=0.0)


def simulate_ring(num_bytes: float, members: int, link: Link) -> float:
    """Send one part of every member per round, until all have the whole sum."""
    parts = [[{member} for _ in range(members)] for member in range(members)]  # members whose values each part contains
    seconds, rounds = 0.0, 0
    while any(len(part) < members for member in parts for part in member):
        for member, part in [(member, (member - rounds) % members) for member in range(members)]:
            receiver = (member + 1) % members
            parts[receiver][part] = parts[receiver][part] | parts[member][part]
        seconds += num_bytes / members / link.bytes_per_second + link.latency
        rounds += 1
    return seconds


def test_one_member_sends_nothing() -> None:
    assert compute_ring_seconds(1e9, 5, 1, LINK) == 0.0
    assert compute_all_reduce_seconds(1e9, 5, Cluster(1, 1, LINK, LINK)) == 0.0


def test_two_members_send_everything_once() -> None:
    assert compute_ring_seconds(1e9, 1, 2, Link(1e9, 0.0)) == pytest.approx(1.0)


@pytest.mark.parametrize("members", [2, 3, 4, 7])
def test_ring_agrees_with_a_simulation(members: int) -> None:
    assert compute_ring_seconds(1e8, 1, members, LINK) == pytest.approx(simulate_ring(1e8, members, LINK))


def test_time_is_proportional_to_bytes_and_messages() -> None:
    bandwidth_only, latency_only = Link(2e9, 0.0), Link(1e30, 3e-6)
    assert compute_ring_seconds(3e8, 1, 5, bandwidth_only) == pytest.approx(
        3 * compute_ring_seconds(1e8, 1, 5, bandwidth_only)
    )
    assert compute_ring_seconds(1e8, 4, 5, latency_only) == pytest.approx(
        4 * compute_ring_seconds(1e8, 1, 5, latency_only)
    )
    assert compute_ring_seconds(1e8, 4, 5, LINK) == pytest.approx(
        compute_ring_seconds(1e8, 4, 5, bandwidth_only) + compute_ring_seconds(1e8, 4, 5, latency_only)
    )


def test_without_latency_many_members_send_every_byte_twice() -> None:
    seconds = [compute_ring_seconds(1e9, 1, members, Link(1e9, 0.0)) for members in (2, 10, 100, 10**6)]
    assert seconds == sorted(seconds) and seconds[-1] < 2.0
    assert seconds[-1] == pytest.approx(2.0, rel=1e-5)


def test_gigabits_are_an_eighth_of_gigabytes() -> None:
    assert compute_ring_seconds(1.25e9, 1, 2, Link(10e9 / 8, 0.0)) == pytest.approx(1.0)


def test_a_cluster_of_one_gpu_each_is_a_ring_of_workers() -> None:
    assert compute_all_reduce_seconds(1e8, 7, Cluster(6, 1, LINK, FREE)) == compute_ring_seconds(1e8, 7, 6, LINK)


def test_one_worker_is_a_ring_of_its_gpus() -> None:
    assert compute_all_reduce_seconds(1e8, 7, Cluster(1, 6, FREE, LINK)) == compute_ring_seconds(1e8, 7, 6, LINK)


def test_the_gpus_of_a_worker_share_its_link() -> None:
    cluster = Cluster(4, 8, LINK, FREE)
    assert cluster.replicas == 32
    assert compute_all_reduce_seconds(1e9, 1, cluster) == pytest.approx(compute_ring_seconds(1e9, 1, 4, LINK))


def test_a_reduction_is_in_float32() -> None:
    assert Reduction("gradients", 1, 1, 10).num_bytes == 40
