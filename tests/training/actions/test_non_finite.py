"""Tests of the detection of non-finite values, and of rollbacks."""

import math
import pathlib

import numpy as np
import pytest

from sagan_tf.runs.checkpoints import Checkpoints
from sagan_tf.training.actions.non_finite import CheckFinite, NonFiniteError, roll_back
from sagan_tf.training.actions.schedule import StepReport
from sagan_tf.training.state import TrainState, create_state
from tests.training.tiny import find_differences, read_all_values, tiny_config

ERROR = NonFiniteError("training: the loss is not finite")


class FakeCheckpoints:
    def __init__(self, latest: str | None) -> None:
        self.latest = latest


def report(step: int, **metrics: float) -> StepReport:
    return StepReport(step, 2, {"discriminator_loss": 1.0, "generator_loss": 2.0} | metrics, 0.5, False)


def check_finite(latest: str | None = None, loss_scale: float = 1.0, is_finite: bool = True) -> CheckFinite:
    directory = pathlib.Path("runs/a/checkpoints")
    return CheckFinite(FakeCheckpoints(latest), directory, lambda: is_finite, lambda: loss_scale)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def state() -> TrainState:
    return create_state(tiny_config())


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_the_error_has_the_metric_and_the_last_good_checkpoint(value):
    check = check_finite("/tmp/worker_1/checkpoints/step-4")
    check(report(6))
    with pytest.raises(NonFiniteError, match="generator_loss .* 6 and 8; .* runs/a/checkpoints/step-4$"):
        check(report(8, generator_loss=value))
    with pytest.raises(NonFiniteError, match="no checkpoint"):
        check_finite()(report(8, generator_loss=value))


def test_a_very_small_loss_scale_is_an_error():
    check_finite(loss_scale=2.0**-10)(report(8))
    with pytest.raises(NonFiniteError, match="loss scale"):
        check_finite(loss_scale=2.0**-11)(report(8))


def test_non_finite_weights_are_an_error():
    with pytest.raises(NonFiniteError, match="weights .* 6 and 8"):
        check_finite(is_finite=False)(report(8))


@pytest.mark.parametrize("part", ["generator", "discriminator", "generator_ema", "generator_optimizer"])
def test_every_part_of_the_state_is_checked(part):
    state = create_state(tiny_config())
    assert state.has_finite_values()
    variable = getattr(state, part).variables[-1]
    variable.assign(np.inf * np.ones(variable.shape, np.float32))
    assert not state.has_finite_values()


def test_a_rollback_restores_the_state_and_is_counted(tmp_path, state):
    state.step.assign(7)
    Checkpoints(tmp_path, state, keep=2).save()
    before = read_all_values(state)
    for variable in state.generator.trainable_variables:
        variable.assign(math.nan * variable)
    state.step.assign(9)
    assert roll_back(ERROR, state, tmp_path, max_rollbacks=2) == 7
    assert find_differences(before, read_all_values(state)) == set() and int(state.rollbacks) == 1
    assert (
        roll_back(ERROR, state, tmp_path, max_rollbacks=2) == 7 and int(state.rollbacks) == 2
    )  # the counter in the checkpoint is 0
    with pytest.raises(NonFiniteError, match="the loss is not finite; .*--max_rollbacks=2"):
        roll_back(ERROR, state, tmp_path, max_rollbacks=2)


def test_a_rollback_without_a_checkpoint_raises_the_error(tmp_path, state):
    state.rollbacks.assign(0)
    with pytest.raises(NonFiniteError) as caught:
        roll_back(ERROR, state, tmp_path, max_rollbacks=2)
    assert caught.value is ERROR and int(state.rollbacks) == 0


def test_a_checkpoint_with_non_finite_values_is_skipped(tmp_path, state, caplog):
    """The losses of its last step were finite, but the update was not."""
    checkpoints = Checkpoints(tmp_path, state, keep=3)
    state.rollbacks.assign(0)
    state.step.assign(10)
    checkpoints.save()
    before = read_all_values(state)
    state.step.assign(20)
    state.generator_optimizer.variables[-1].assign(np.inf * state.generator_optimizer.variables[-1] + np.inf)
    checkpoints.save()
    with caplog.at_level("WARNING", "sagan_tf"):
        assert roll_back(ERROR, state, tmp_path, max_rollbacks=1) == 10
    assert "not finite" in caplog.text and "step-20" in caplog.text
    assert find_differences(before, read_all_values(state)) == set()
