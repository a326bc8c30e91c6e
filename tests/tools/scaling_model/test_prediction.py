"""Times and efficiencies, compared with closed forms."""

from __future__ import annotations

import dataclasses

import pytest

from tools.scaling_model.communication import Cluster, Link, Reduction, compute_all_reduce_seconds
from tools.scaling_model.devices import DEVICES, Device
from tools.scaling_model.prediction import Assumptions, ScalingModel, get_default_utilization
from tools.scaling_model.work import BatchWork, Work

DEVICE = Device("unit", 1e9, 1e12, {"float32": 1e12, "float16": 4e12}, 1e11, "made up")
IDEAL = Assumptions(utilization=1.0, bandwidth_utilization=1.0, launch_seconds=0.0)
# One second for 10 images: 0.8 of arithmetic and 0.2 of traffic.
WORK = BatchWork(per_image=Work(flops=0.08e12, traffic_bytes=0.02e12))
REDUCTIONS = (Reduction("gradients", 2, 8, 10**8), Reduction("others", 5, 5, 10**3))
NETWORK, LOCAL = Link(1e9, 1e-5), Link(1e11, 1e-6)


def make_model(
    work: BatchWork = WORK, precision: str = "float32", accumulation: int = 1, **assumptions: float
) -> ScalingModel:
    assumed = dataclasses.replace(IDEAL, **assumptions)
    return ScalingModel(work, REDUCTIONS, DEVICE, precision, accumulation, assumed)


def make_cluster(workers: int, gpus_per_worker: int = 1) -> Cluster:
    return Cluster(workers, gpus_per_worker, NETWORK, LOCAL)


def test_times_of_arithmetic_and_traffic() -> None:
    time = make_model().predict_step_time(10, make_cluster(1))
    assert time.products == pytest.approx(0.8)
    assert time.traffic == pytest.approx(0.2)
    assert time.total == time.compute == pytest.approx(1.0)


def test_utilization_divides_the_peak() -> None:
    half = make_model(utilization=0.5, bandwidth_utilization=0.25).predict_step_time(10, make_cluster(1))
    assert half.products == pytest.approx(1.6)
    assert half.traffic == pytest.approx(0.8)
    assert make_model(precision="mixed_float16").predict_step_time(10, make_cluster(1)).products == pytest.approx(0.2)


def test_default_utilization_depends_on_the_number_format() -> None:
    assert get_default_utilization("float32") > get_default_utilization("tf32") == get_default_utilization("float16")
    unset = dataclasses.replace(make_model(), assumptions=Assumptions())
    assert unset.utilization == get_default_utilization("float32")
    assert dataclasses.replace(unset, device=DEVICES["A100"]).utilization == get_default_utilization("tf32")
    assert make_model(utilization=0.3).utilization == 0.3


def test_launching_is_parallel_and_limits_small_batches() -> None:
    work = WORK + BatchWork(fixed=Work(operations=3000))
    launched = make_model(work, launch_seconds=1e-5)
    assert launched.predict_step_time(10, make_cluster(1)).compute == pytest.approx(1.0)
    assert launched.predict_step_time(0.1, make_cluster(1)).compute == pytest.approx(0.03)


def test_a_single_replica_does_not_communicate() -> None:
    for prediction in (
        make_model().predict_strong_scaling(60, make_cluster(1)),
        make_model().predict_weak_scaling(10, make_cluster(1)),
    ):
        assert prediction is not None
        assert prediction.time.communication == prediction.time.exposed == 0.0
        assert prediction.efficiency == 1.0


@pytest.mark.parametrize(("workers", "gpus"), [(2, 1), (6, 1), (1, 3), (2, 3)])
def test_efficiency_is_the_fraction_of_time_spent_computing(workers: int, gpus: int) -> None:
    cluster = make_cluster(workers, gpus)
    # One worker sends the gradients as 2 messages, several workers as 8.
    exposed = compute_all_reduce_seconds(4 * (10**8 + 10**3), 7 if workers == 1 else 13, cluster)
    weak = make_model().predict_weak_scaling(10, cluster)
    assert weak.time.communication == weak.time.exposed == pytest.approx(exposed)
    assert weak.efficiency == pytest.approx(1.0 / (1.0 + exposed))
    strong = make_model().predict_strong_scaling(60, cluster)  # all of this work is proportional to the batch
    assert strong is not None
    compute = 6.0 / cluster.replicas
    assert strong.replica_images == 60 // cluster.replicas
    assert strong.efficiency == pytest.approx(compute / (compute + exposed))


def test_work_independent_of_the_batch_limits_strong_scaling_only() -> None:
    fixed = make_model(WORK + BatchWork(fixed=Work(flops=1e12)), overlap=1.0)
    strong = fixed.predict_strong_scaling(60, make_cluster(6))
    assert strong is not None
    assert strong.efficiency == pytest.approx((1.0 + 6 * 0.8 + 6 * 0.2) / (6 * (1.0 + 1.0)))
    assert fixed.predict_weak_scaling(10, make_cluster(6)).efficiency == pytest.approx(1.0)


def test_overlap_hides_communication() -> None:
    none, half, all_of_it = (
        make_model(overlap=share).predict_weak_scaling(10, make_cluster(4)) for share in (0.0, 0.5, 1.0)
    )
    assert half.time.exposed == pytest.approx(none.time.exposed / 2)
    assert half.time.communication == none.time.communication
    assert all_of_it.efficiency == 1.0


def test_more_workers_and_slower_links_are_less_efficient() -> None:
    by_workers = [
        make_model().predict_weak_scaling(10, make_cluster(workers)).efficiency for workers in (1, 2, 4, 8, 1000)
    ]
    assert by_workers == sorted(by_workers, reverse=True)
    slow = Cluster(4, 1, Link(NETWORK.bytes_per_second / 10, NETWORK.latency), LOCAL)
    assert (
        make_model().predict_weak_scaling(10, slow).efficiency
        < make_model().predict_weak_scaling(10, make_cluster(4)).efficiency
    )


def test_many_workers_send_every_byte_twice() -> None:
    without_latency = Cluster(10**6, 1, Link(1e9, 0.0), LOCAL)
    twice = 2 * 4 * (10**8 + 10**3) / 1e9
    assert make_model().predict_weak_scaling(10, without_latency).efficiency == pytest.approx(
        1.0 / (1.0 + twice), rel=1e-4
    )


def test_a_batch_that_cannot_be_divided() -> None:
    assert make_model().predict_strong_scaling(60, make_cluster(7)) is None
    assert make_model(accumulation=4).predict_strong_scaling(60, make_cluster(6)) is None
    assert make_model(accumulation=5).predict_strong_scaling(60, make_cluster(6)) is not None
