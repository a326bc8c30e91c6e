"""The whole model of a small configuration."""

from __future__ import annotations

import functools
from typing import Any

import pytest

from sagan_tf.errors import UserError
from sagan_tf.training.state import TrainState, create_state
from tests.training.tiny import tiny_config
from tools.scaling_model.calculation import TABLES, Calculation
from tools.scaling_model.devices import DEVICES
from tools.scaling_model.options import TABLES as NAMES
from tools.scaling_model.options import ScalingOptions
from tools.scaling_model.step import Step, measure_step

CONFIG = tiny_config(
    architecture="dcgan", attention_resolutions=(), generator_spectral_norm=False, discriminator_spectral_norm=False
)


def of(**options: Any) -> Calculation:
    """Of the same small networks, which are counted once."""
    found = Calculation(ScalingOptions(**options), CONFIG)
    found.state, found.step = state(), step()
    return found


@functools.cache
def state() -> TrainState:
    return create_state(CONFIG)


@functools.cache
def step() -> Step:
    return measure_step(CONFIG, state())


@pytest.fixture(scope="module")
def calculation() -> Calculation:
    return of(workers=(1, 2, 3, 4), link_gbits=(10.0, 100.0), replica_batch_size=2)


def test_networks_are_built_when_they_are_asked_for() -> None:
    assert Calculation(ScalingOptions(), CONFIG).reductions == of().reductions


def test_every_table_has_a_name() -> None:
    assert tuple(TABLES) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_tables_are_rectangular_and_have_figures(calculation: Calculation, name: str) -> None:
    table = calculation.table(name)
    assert table.title and len(table.rows) > 1 and table.figures
    assert len({len(row) for row in table.rows}) == 1


def test_what_is_counted_is_what_is_predicted_with(calculation: Calculation) -> None:
    assert calculation.model.work == calculation.step.work
    assert calculation.model.reductions == calculation.reductions
    assert calculation.model.accumulation == calculation.config.training.gradient_accumulation_steps


def test_workers_that_cannot_share_the_batch(calculation: Calculation) -> None:
    assert [row[0].cluster.workers for row in calculation.strong] == [1, 2, 4]
    assert calculation.strong_table().title.endswith("(can't be cut for 3 workers)")
    with pytest.raises(UserError, match="cuts the global batch of 4 into equal parts, received 3,5 x 1 GPUs"):
        _ = of(workers=(3, 5)).strong


def test_a_column_for_each_link_and_the_last_for_input(calculation: Calculation) -> None:
    assert calculation.strong_table().rows[0][-2:] == ["10 Gbit/s", "100 Gbit/s"]
    assert calculation.input_table().title.startswith("Input at 100 Gbit/s")


def test_one_gpu_with_the_batch_and_its_halves(calculation: Calculation) -> None:
    assert [row[0] for row in calculation.device_table().rows[1:]] == ["4", "2", "1"]


def test_a_run_on_every_gpu_or_with_a_price_on_one(calculation: Calculation) -> None:
    assert [row[0] for row in calculation.run_table().rows[1:]] == list(DEVICES)
    own = of(device="L4", price_per_hour=2.0)
    assert [row[0] for row in own.run_table().rows[1:]] == ["L4"]


def test_own_figures_replace_the_named_gpus(calculation: Calculation) -> None:
    faster = of(device="V100", bandwidth_gbytes=9000.0)
    seconds = {one: {row["device"]: row for row in one.run_table().figures} for one in (calculation, faster)}
    assert seconds[faster]["V100"]["step_seconds"] <= seconds[calculation]["V100"]["step_seconds"]
    assert faster.device.memory_bandwidth == 9000e9
    assert seconds[faster]["T4"] == seconds[calculation]["T4"]
