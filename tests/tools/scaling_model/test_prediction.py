"""Times and efficiencies: closed forms."""

from __future__ import annotations

import dataclasses

import pytest

from tools.scaling_model.communication import Cluster, Link, Reduction, all_reduce_seconds
from tools.scaling_model.devices import DEVICES, Device
from tools.scaling_model.prediction import Assumptions, Model, usual_utilization
from tools.scaling_model.work import BatchWork, Work

DEVICE = Device("unit", 1e9, 1e12, {"float32": 1e12, "float16": 4e12}, 1e11, "made up")
IDEAL = Assumptions(utilization=1.0, bandwidth_utilization=1.0, launch_seconds=0.0)
# A second for 10 images: 0.8 of arithmetic, 0.2 of traffic.
WORK = BatchWork(per_image=Work(flops=0.08e12, traffic_bytes=0.02e12))
REDUCTIONS = (Reduction("gradients", 2, 8, 10**8), Reduction("others", 5, 5, 10**3))
NETWORK, LOCAL = Link(1e9, 1e-5), Link(1e11, 1e-6)


def model(work: BatchWork = WORK, precision: str = "float32", accumulation: int = 1, **assumptions: float) -> Model:
    assumed = dataclasses.replace(IDEAL, **assumptions)
    return Model(work, REDUCTIONS, DEVICE, precision, accumulation, assumed)


def cluster(workers: int, gpus_per_worker: int = 1) -> Cluster:
    return Cluster(workers, gpus_per_worker, NETWORK, LOCAL)


def test_units() -> None:
    time = model().step_time(10, cluster(1))
    assert time.products == pytest.approx(0.8)
    assert time.traffic == pytest.approx(0.2)
    assert time.total == time.compute == pytest.approx(1.0)


def test_assumptions() -> None:
    half = model(utilization=0.5, bandwidth_utilization=0.25).step_time(10, cluster(1))
    assert half.products == pytest.approx(1.6)
    assert half.traffic == pytest.approx(0.8)
    assert model(precision="mixed_float16").step_time(10, cluster(1)).products == pytest.approx(0.2)


def test_utilization_that_is_not_given_depends_on_the_units() -> None:
    assert usual_utilization("float32") > usual_utilization("tf32") == usual_utilization("float16")
    unset = dataclasses.replace(model(), assumptions=Assumptions())
    assert unset.utilization == usual_utilization("float32")
    assert dataclasses.replace(unset, device=DEVICES["A100"]).utilization == usual_utilization("tf32")
    assert model(utilization=0.3).utilization == 0.3


def test_launching_goes_on_beside_and_bounds_small_batches() -> None:
    work = WORK + BatchWork(fixed=Work(operations=3000))
    launched = model(work, launch_seconds=1e-5)
    assert launched.step_time(10, cluster(1)).compute == pytest.approx(1.0)
    assert launched.step_time(0.1, cluster(1)).compute == pytest.approx(0.03)


def test_one_replica_communicates_nothing_and_is_efficient() -> None:
    for found in (model().strong(60, cluster(1)), model().weak(10, cluster(1))):
        assert found is not None
        assert found.time.communication == found.time.exposed == 0.0
        assert found.efficiency == 1.0


@pytest.mark.parametrize(("workers", "gpus"), [(2, 1), (6, 1), (1, 3), (2, 3)])
def test_efficiency_is_the_share_of_computing(workers: int, gpus: int) -> None:
    where = cluster(workers, gpus)
    # One worker sends the gradients as 2 messages, several workers as 8.
    exposed = all_reduce_seconds(4 * (10**8 + 10**3), 7 if workers == 1 else 13, where)
    weak = model().weak(10, where)
    assert weak.time.communication == weak.time.exposed == pytest.approx(exposed)
    assert weak.efficiency == pytest.approx(1.0 / (1.0 + exposed))
    strong = model().strong(60, where)  # nothing of this work is independent of the batch
    assert strong is not None
    compute = 6.0 / where.replicas
    assert strong.replica_images == 60 // where.replicas
    assert strong.efficiency == pytest.approx(compute / (compute + exposed))


def test_what_does_not_shrink_with_the_batch_spoils_strong_scaling_alone() -> None:
    fixed = model(WORK + BatchWork(fixed=Work(flops=1e12)), overlap=1.0)
    strong = fixed.strong(60, cluster(6))
    assert strong is not None
    assert strong.efficiency == pytest.approx((1.0 + 6 * 0.8 + 6 * 0.2) / (6 * (1.0 + 1.0)))
    assert fixed.weak(10, cluster(6)).efficiency == pytest.approx(1.0)


def test_overlap_hides_communication() -> None:
    none, half, all_of_it = (model(overlap=share).weak(10, cluster(4)) for share in (0.0, 0.5, 1.0))
    assert half.time.exposed == pytest.approx(none.time.exposed / 2)
    assert half.time.communication == none.time.communication
    assert all_of_it.efficiency == 1.0


def test_more_workers_and_slower_links_are_less_efficient() -> None:
    by_workers = [model().weak(10, cluster(workers)).efficiency for workers in (1, 2, 4, 8, 1000)]
    assert by_workers == sorted(by_workers, reverse=True)
    slow = Cluster(4, 1, Link(NETWORK.bytes_per_second / 10, NETWORK.latency), LOCAL)
    assert model().weak(10, slow).efficiency < model().weak(10, cluster(4)).efficiency


def test_the_bound_of_many_workers_is_every_byte_twice() -> None:
    without_latency = Cluster(10**6, 1, Link(1e9, 0.0), LOCAL)
    twice = 2 * 4 * (10**8 + 10**3) / 1e9
    assert model().weak(10, without_latency).efficiency == pytest.approx(1.0 / (1.0 + twice), rel=1e-4)


def test_a_batch_that_cannot_be_cut() -> None:
    assert model().strong(60, cluster(7)) is None
    assert model(accumulation=4).strong(60, cluster(6)) is None
    assert model(accumulation=5).strong(60, cluster(6)) is not None
