"""Scaling model of a small configuration."""

from __future__ import annotations

import functools
from typing import Any

import pytest

from sagan_tf.errors import UserError
from sagan_tf.training.state import TrainState, create_state
from tests.training.tiny import tiny_config
from tools.scaling_model.calculation import TABLE_METHODS, Calculation
from tools.scaling_model.devices import DEVICES
from tools.scaling_model.options import TABLE_NAMES, ScalingOptions
from tools.scaling_model.step import Step, measure_step

CONFIG = tiny_config(
    architecture="dcgan", attention_resolutions=(), generator_spectral_norm=False, discriminator_spectral_norm=False
)


def make_calculation(**options: Any) -> Calculation:
    """Return a calculation of the same small networks, which are counted once."""
    calculation = Calculation(ScalingOptions(**options), CONFIG)
    calculation.state, calculation.step = state(), step()
    return calculation


@functools.cache
def state() -> TrainState:
    return create_state(CONFIG)


@functools.cache
def step() -> Step:
    return measure_step(CONFIG, state())


@pytest.fixture(scope="module")
def calculation() -> Calculation:
    return make_calculation(workers=(1, 2, 3, 4), link_gbits=(10.0, 100.0), replica_batch_size=2)


def test_networks_are_built_on_demand() -> None:
    assert Calculation(ScalingOptions(), CONFIG).reductions == make_calculation().reductions


def test_every_name_has_a_table() -> None:
    assert tuple(TABLE_METHODS) == TABLE_NAMES


@pytest.mark.parametrize("name", TABLE_NAMES)
def test_tables_are_rectangular_and_have_figures(calculation: Calculation, name: str) -> None:
    table = calculation.create_table(name)
    assert table.title and len(table.rows) > 1 and table.figures
    assert len({len(row) for row in table.rows}) == 1


def test_predictions_use_the_counted_work(calculation: Calculation) -> None:
    assert calculation.model.work == calculation.step.work
    assert calculation.model.reductions == calculation.reductions
    assert calculation.model.accumulation == calculation.config.training.gradient_accumulation_steps


def test_workers_that_do_not_divide_the_batch_are_left_out(calculation: Calculation) -> None:
    assert [row[0].cluster.workers for row in calculation.strong_scaling] == [1, 2, 4]
    assert calculation.create_strong_table().title.endswith("(can't be cut for 3 workers)")
    with pytest.raises(UserError, match="workers: .* 3,5 x 1 GPUs"):
        _ = make_calculation(workers=(3, 5)).strong_scaling


def test_each_link_has_a_column_and_input_uses_the_last(calculation: Calculation) -> None:
    assert calculation.create_strong_table().rows[0][-2:] == ["10 Gbit/s", "100 Gbit/s"]
    assert calculation.create_input_table().title.startswith("Input at 100 Gbit/s")


def test_the_device_table_has_the_batch_and_its_halves(calculation: Calculation) -> None:
    assert [row[0] for row in calculation.create_device_table().rows[1:]] == ["4", "2", "1"]


def test_the_run_table_has_every_gpu_or_with_a_price_the_chosen_one(calculation: Calculation) -> None:
    assert [row[0] for row in calculation.create_run_table().rows[1:]] == list(DEVICES)
    priced = make_calculation(device="L4", price_per_hour=2.0)
    assert [row[0] for row in priced.create_run_table().rows[1:]] == ["L4"]


def test_given_figures_replace_those_of_the_chosen_gpu(calculation: Calculation) -> None:
    faster = make_calculation(device="V100", bandwidth_gbytes=9000.0)
    rows, faster_rows = [
        {row["device"]: row for row in found.create_run_table().figures} for found in (calculation, faster)
    ]
    assert faster_rows["V100"]["step_seconds"] <= rows["V100"]["step_seconds"]
    assert faster.device.memory_bandwidth == 9000e9
    assert faster_rows["T4"] == rows["T4"]
