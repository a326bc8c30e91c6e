"""Cost of a whole run."""

from __future__ import annotations

import dataclasses
import itertools

import pytest

from tests.training.tiny import tiny_config
from tools.scaling_model.communication import Reduction
from tools.scaling_model.devices import DEVICES
from tools.scaling_model.memory import ReplicaMemory
from tools.scaling_model.prediction import Assumptions, ScalingModel
from tools.scaling_model.run_cost import GPU_COUNTS, RunCost, compute_run_costs
from tools.scaling_model.work import BatchWork, Work

MODEL = ScalingModel(
    BatchWork(per_image=Work(flops=1e12)), (Reduction("gradients", 1, 1, 10**6),), DEVICES["V100"], "float32"
)
MEMORY = ReplicaMemory(tiny_config().model, (1, 1), weights_bytes=0, image_bytes=10**9)


def compute_costs(
    model: ScalingModel = MODEL, batch: int = 32, devices: tuple[str, ...] = ("V100",)
) -> list[list[RunCost]]:
    return compute_run_costs(model, [DEVICES[name] for name in devices], batch, 1000, MEMORY, 0.0)


def test_a_run_is_the_sum_of_its_steps() -> None:
    (costs,) = compute_costs(dataclasses.replace(MODEL, assumptions=Assumptions(utilization=1.0, launch_seconds=0.0)))
    alone = costs[0]
    assert alone.step_seconds == pytest.approx(32 / 15.7)
    assert alone.run_seconds == pytest.approx(1000 * 32 / 15.7)
    assert alone.gpu_hours == pytest.approx(alone.run_seconds / 3600)


def test_more_gpus_take_less_time_and_more_gpu_hours() -> None:
    (costs,) = compute_costs()
    assert tuple(cost.gpus for cost in costs) == GPU_COUNTS
    for fewer, more in itertools.pairwise(costs):
        assert more.run_seconds < fewer.run_seconds
        assert more.gpu_hours > fewer.gpu_hours


def test_numbers_that_do_not_divide_the_batch_are_left_out() -> None:
    (costs,) = compute_costs(batch=12)
    assert [cost.gpus for cost in costs] == [1, 4]


def test_devices_without_units_for_the_precision_are_left_out() -> None:
    found = compute_costs(dataclasses.replace(MODEL, precision="mixed_bfloat16"), devices=("V100", "L4", "H100"))
    assert [costs[0].device.name for costs in found] == ["L4", "H100"]


def test_whether_the_batch_fits() -> None:
    (costs,) = compute_costs(batch=64)  # takes 64 GB on one GPU and 16 GB on each of four; a GPU has 32 GB
    assert [cost.fits for cost in costs] == [False, True, True]
    (in_parts,) = compute_costs(dataclasses.replace(MODEL, accumulation=2), batch=64)
    assert [cost.fits for cost in in_parts] == [True, True, True]
