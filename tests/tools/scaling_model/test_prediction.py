"""Figures of GPUs; times and efficiencies, compared with closed forms and a simulated ring."""

from __future__ import annotations

import dataclasses

import pytest

from tools.scaling_model.prediction import (
    BANDWIDTH_UTILIZATION,
    DEVICES,
    LAUNCH_SECONDS,
    NETWORK_LATENCY,
    BatchWork,
    Cluster,
    Device,
    Reduction,
    ScalingModel,
    Work,
    compute_all_reduce_seconds,
    compute_ring_seconds,
)

# A GPU that reaches 1 TFLOP/s and 1 TB/s, and one second of work for 10 images: 0.8 of products and 0.2 of traffic.
DEVICE = Device("unit", 1e9, 1e12 / BANDWIDTH_UTILIZATION, 1e11, {"float32": 1e12, "float16": 4e12})
WORK = BatchWork(Work(), Work(flops=0.08e12, traffic_bytes=0.02e12))
REDUCTIONS = (Reduction("gradients", 2, 8, 4 * 10**8), Reduction("others", 5, 5, 4 * 10**3))
MODEL = ScalingModel(WORK, REDUCTIONS, DEVICE, "float32", 1.0)


@pytest.mark.parametrize("name", DEVICES)
def test_figures_are_in_basic_units_and_narrower_formats_are_no_slower(name: str) -> None:
    device = DEVICES[name]
    assert device.name == name
    assert 1e10 < device.memory_bytes < 1e12
    assert 1e10 <= device.local_link < device.memory_bandwidth < 1e13
    peak = device.peak_flops
    assert peak["float32"] == min(peak.values()) > 1e12
    assert peak.get("tf32", 0.0) <= peak.get("bfloat16", peak.get("float16", 0.0))
    assert peak.get("bfloat16", peak.get("float16")) == peak.get("float16")


def test_number_formats() -> None:
    assert DEVICES["V100"].list_number_formats("float32") == ["float32"]
    assert DEVICES["A100"].list_number_formats("float32") == ["tf32", "float32"]
    assert DEVICES["A100"].list_number_formats("mixed_bfloat16") == ["bfloat16"]
    assert DEVICES["T4"].list_number_formats("mixed_float16") == ["float16"]
    assert DEVICES["V100"].list_number_formats("mixed_bfloat16") == []


def simulate_ring(num_bytes: float, members: int, speed: float, latency: float) -> float:
    """Send one part of every member per round, until all have the whole sum."""
    parts = [[{member} for _ in range(members)] for member in range(members)]  # members whose values each part contains
    seconds, rounds = 0.0, 0
    while any(len(part) < members for member in parts for part in member):
        for member, part in [(member, (member - rounds) % members) for member in range(members)]:
            receiver = (member + 1) % members
            parts[receiver][part] = parts[receiver][part] | parts[member][part]
        seconds += num_bytes / members / speed + latency
        rounds += 1
    return seconds


@pytest.mark.parametrize("members", [1, 2, 3, 4, 7])
def test_ring_agrees_with_a_simulation(members: int) -> None:
    assert compute_ring_seconds(1e8, 1, members, 2e9, 3e-6) == pytest.approx(simulate_ring(1e8, members, 2e9, 3e-6))


def test_time_is_proportional_to_bytes_and_messages() -> None:
    by_bytes, by_messages = compute_ring_seconds(1e8, 1, 5, 2e9, 0.0), compute_ring_seconds(0.0, 1, 5, 2e9, 3e-6)
    assert compute_ring_seconds(3e8, 4, 5, 2e9, 3e-6) == pytest.approx(3 * by_bytes + 4 * by_messages)


def test_the_gpus_of_a_worker_share_its_link() -> None:
    cluster = Cluster(4, 8, link_gbits=10.0)
    between = compute_ring_seconds(1e9, 7, 4, 1.25e9, NETWORK_LATENCY)  # 10 gigabits are 1.25 gigabytes
    assert compute_all_reduce_seconds(1e9, 7, Cluster(4, 1, 10.0), 1e11) == between
    within = compute_all_reduce_seconds(1e9, 7, Cluster(1, 8), 1e11)
    assert within > 2 * 7 / 8 * 1e9 / 1e11  # the bytes alone
    assert cluster.replicas == 32
    assert compute_all_reduce_seconds(1e9, 7, cluster, 1e11) == pytest.approx(within + between)


def test_work_of_a_batch() -> None:
    line = BatchWork(fixed=Work(3, 10, 4), per_image=Work(2, 10, 0))
    assert line.evaluate(5) == Work(13, 60, 4)


def test_times_of_arithmetic_and_traffic() -> None:
    step = MODEL.predict(10, Cluster())
    assert (step.products, step.traffic) == pytest.approx((0.8, 0.2))
    assert step.seconds == step.compute == pytest.approx(1.0)
    assert step.images_per_second == pytest.approx(10.0)


def test_utilization_and_number_format_change_the_products_only() -> None:
    half = dataclasses.replace(MODEL, utilization=0.5).predict(10, Cluster())
    assert (half.products, half.traffic) == pytest.approx((1.6, 0.2))
    narrow = dataclasses.replace(MODEL, number_format="float16").predict(10, Cluster())
    assert (narrow.products, narrow.traffic) == pytest.approx((0.2, 0.2))


def test_launching_is_parallel_and_limits_small_batches() -> None:
    launched = dataclasses.replace(MODEL, work=BatchWork(Work(operations=0.3 / LAUNCH_SECONDS), WORK.per_image))
    assert launched.predict(10, Cluster()).compute == pytest.approx(1.0)
    assert launched.predict(1, Cluster()).compute == pytest.approx(0.3)


@pytest.mark.parametrize(("workers", "gpus"), [(1, 1), (2, 1), (6, 1), (1, 3), (2, 3)])
def test_efficiency_is_the_fraction_of_time_spent_computing(workers: int, gpus: int) -> None:
    cluster = Cluster(workers, gpus, 8.0)
    # One worker sends the gradients as 2 messages, several workers as 8.
    messages = 7 if workers == 1 else 13
    exposed = compute_all_reduce_seconds(4 * (10**8 + 10**3), messages, cluster, DEVICE.local_link)
    weak = MODEL.predict(10, cluster)
    assert weak.communication == pytest.approx(exposed)
    assert MODEL.compute_efficiency(weak, 10) == pytest.approx(1.0 / (1.0 + exposed))
    strong = MODEL.predict(60 // cluster.replicas, cluster)  # all of this work is proportional to the batch
    compute = 6.0 / cluster.replicas
    assert MODEL.compute_efficiency(strong, 60) == pytest.approx(compute / (compute + exposed))


def test_work_independent_of_the_batch_limits_strong_scaling_only() -> None:
    fixed = ScalingModel(BatchWork(Work(flops=1e12), WORK.per_image), (), DEVICE, "float32", 1.0)
    step = fixed.predict(10, Cluster(6))
    assert fixed.compute_efficiency(step, 60) == pytest.approx((1.0 + 6 * 1.0) / (6 * (1.0 + 1.0)))
    assert fixed.compute_efficiency(step, 10) == pytest.approx(1.0)


def test_more_workers_and_slower_links_are_less_efficient() -> None:
    clusters = [*(Cluster(workers, 1, 8.0) for workers in (1, 2, 4)), Cluster(4, 1, 0.8)]
    efficiencies = [MODEL.compute_efficiency(MODEL.predict(10, cluster), 10) for cluster in clusters]
    assert efficiencies == sorted(set(efficiencies), reverse=True)
