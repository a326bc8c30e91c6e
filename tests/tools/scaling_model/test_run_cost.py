"""A whole run."""

from __future__ import annotations

import dataclasses

import pytest

from tests.training.tiny import tiny_config
from tools.scaling_model.communication import Reduction
from tools.scaling_model.devices import DEVICES
from tools.scaling_model.memory import ReplicaMemory
from tools.scaling_model.prediction import Assumptions, Model
from tools.scaling_model.run_cost import GPU_COUNTS, RunCost, run_costs
from tools.scaling_model.work import BatchWork, Work

MODEL = Model(BatchWork(per_image=Work(flops=1e12)), (Reduction("gradients", 1, 1, 10**6),), DEVICES["V100"], "float32")
MEMORY = ReplicaMemory(tiny_config().model, (1, 1), weights_bytes=0, image_bytes=10**9)


def costs(model: Model = MODEL, batch: int = 32, devices: tuple[str, ...] = ("V100",)) -> list[list[RunCost]]:
    return run_costs(model, [DEVICES[name] for name in devices], batch, 1000, MEMORY, 0.0)


def test_a_run_is_its_steps() -> None:
    (of_device,) = costs(dataclasses.replace(MODEL, assumptions=Assumptions(utilization=1.0, launch_seconds=0.0)))
    alone = of_device[0]
    assert alone.step_seconds == pytest.approx(32 / 15.7)
    assert alone.run_seconds == pytest.approx(1000 * 32 / 15.7)
    assert alone.gpu_hours == pytest.approx(alone.run_seconds / 3600)


def test_more_gpus_take_less_time_and_no_fewer_hours() -> None:
    (of_device,) = costs()
    assert tuple(one.gpus for one in of_device) == GPU_COUNTS
    for fewer, more in zip(of_device, of_device[1:], strict=False):
        assert more.run_seconds < fewer.run_seconds
        assert more.gpu_hours > fewer.gpu_hours


def test_numbers_that_cannot_share_the_batch_are_left_out() -> None:
    (of_device,) = costs(batch=12)
    assert [one.gpus for one in of_device] == [1, 4]


def test_devices_without_units_for_the_precision_are_left_out() -> None:
    found = costs(dataclasses.replace(MODEL, precision="mixed_bfloat16"), devices=("V100", "L4", "H100"))
    assert [of_device[0].device.name for of_device in found] == ["L4", "H100"]


def test_what_fits() -> None:
    (of_device,) = costs(batch=64)  # GB on a GPU of 32: alone 64, by four 16
    assert [one.fits for one in of_device] == [False, True, True]
    (in_parts,) = costs(dataclasses.replace(MODEL, accumulation=2), batch=64)
    assert [one.fits for one in in_parts] == [True, True, True]
