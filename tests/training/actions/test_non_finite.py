"""Losses that are not finite, and the way back from them."""

from __future__ import annotations

import math
import pathlib

import numpy as np
import pytest

from sagan_tf.runs.checkpoints import Checkpoints
from sagan_tf.training.actions.non_finite import CheckFinite, NonFiniteError, roll_back
from sagan_tf.training.actions.schedule import StepReport
from sagan_tf.training.state import TrainState, create_state
from tests.training.tiny import all_values, differences, tiny_config

ERROR = NonFiniteError("training: expected finite losses and gradients, received others")


class FakeCheckpoints:
    def __init__(self, latest: str | None) -> None:
        self.latest = latest


def report(step: int, **metrics: float) -> StepReport:
    return StepReport(step, 2, {"discriminator_loss": 1.0, "generator_loss": 2.0} | metrics, 0.5, False)


def check_finite(latest: str | None = None, loss_scale: float = 1.0, all_finite: bool = True) -> CheckFinite:
    directory = pathlib.Path("runs/a/checkpoints")
    return CheckFinite(FakeCheckpoints(latest), directory, lambda: all_finite, lambda: loss_scale)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def state() -> TrainState:
    return create_state(tiny_config())


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_the_metric_and_the_good_checkpoint_are_named(value: float) -> None:
    check = check_finite("/tmp/of_this_worker/checkpoints/step-4")
    check(report(6))
    with pytest.raises(
        NonFiniteError, match="generator_loss not finite between steps 6 and 8; .* runs/a/checkpoints/step-4$"
    ):
        check(report(8, generator_loss=value))
    with pytest.raises(NonFiniteError, match="no checkpoint had been saved"):
        check_finite()(report(8, generator_loss=value))


def test_a_collapsed_loss_scale() -> None:
    check_finite(loss_scale=2.0**-10)(report(8))
    with pytest.raises(NonFiniteError, match="loss scale"):
        check_finite(loss_scale=2.0**-11)(report(8))


def test_weights_that_the_last_update_has_spoilt() -> None:
    with pytest.raises(NonFiniteError, match="received weights not finite between steps 6 and 8"):
        check_finite(all_finite=False)(report(8))


@pytest.mark.parametrize("part", ["generator", "discriminator", "generator_ema", "generator_optimizer"])
def test_every_part_of_the_state_is_looked_at(part: str) -> None:
    state = create_state(tiny_config())
    assert state.all_finite()
    spoilt = getattr(state, part).variables[-1]
    spoilt.assign(np.inf * np.ones(spoilt.shape, np.float32))
    assert not state.all_finite()


def test_a_rollback_restores_everything_and_counts(tmp_path: pathlib.Path, state: TrainState) -> None:
    state.step.assign(7)
    Checkpoints(tmp_path, state, keep=2).save()
    before = all_values(state)
    for variable in state.generator.trainable_variables:
        variable.assign(math.nan * variable)
    state.step.assign(9)
    assert roll_back(ERROR, state, tmp_path, most=2) == 7
    assert differences(before, all_values(state)) == set() and int(state.rollbacks) == 1
    assert roll_back(ERROR, state, tmp_path, most=2) == 7 and int(state.rollbacks) == 2  # the checkpoint says 0
    with pytest.raises(NonFiniteError, match=r"received others; 2 rollbacks did not help \(--max_rollbacks=2\)"):
        roll_back(ERROR, state, tmp_path, most=2)


def test_without_a_checkpoint_there_is_no_way_back(tmp_path: pathlib.Path, state: TrainState) -> None:
    state.rollbacks.assign(0)
    with pytest.raises(NonFiniteError) as caught:
        roll_back(ERROR, state, tmp_path, most=2)
    assert caught.value is ERROR and int(state.rollbacks) == 0


def test_a_checkpoint_with_spoilt_values_is_passed_over(
    tmp_path: pathlib.Path, state: TrainState, caplog: pytest.LogCaptureFixture
) -> None:
    """The losses of its last step were finite, the update after them was not."""
    checkpoints = Checkpoints(tmp_path, state, keep=3)
    state.rollbacks.assign(0)
    state.step.assign(10)
    checkpoints.save()
    before = all_values(state)
    state.step.assign(20)
    state.generator_optimizer.variables[-1].assign(np.inf * state.generator_optimizer.variables[-1] + np.inf)
    checkpoints.save()
    with caplog.at_level("WARNING", "sagan_tf"):
        assert roll_back(ERROR, state, tmp_path, most=1) == 10
    assert "expected finite values, received others in" in caplog.text and "step-20" in caplog.text
    assert differences(before, all_values(state)) == set()
