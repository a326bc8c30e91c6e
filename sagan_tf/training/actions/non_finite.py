"""Losses and gradients that are not finite: they are noticed, and end the run or take it back to a good checkpoint."""

from __future__ import annotations

import logging
import math
import pathlib
from collections.abc import Callable

from sagan_tf.errors import UserError
from sagan_tf.runs.checkpoints import Checkpoints, restore_latest
from sagan_tf.training.actions.schedule import StepReport
from sagan_tf.training.state import TrainState

_logger = logging.getLogger("sagan_tf")
_SMALLEST_LOSS_SCALE = 2.0**-10


class NonFiniteError(UserError):
    """A loss or a gradient is not finite: the state is spoilt, the last checkpoint isn't."""


class CheckFinite:
    """Raises NonFiniteError when a loss, a gradient or a weight is not finite. It has to come before what saves.

    Args:
        checkpoints: of the run.
        directory: where they are for all workers, to be named; one that is not the chief saves where nobody looks.
        all_finite: whether all weights are; the last update may have spoilt them after the last loss.
        loss_scale: reads the smallest loss scale of the optimizers; a collapsed one is the sign of non-finite gradients
            under mixed_float16, where single overflows are normal.
    """

    def __init__(
        self,
        checkpoints: Checkpoints,
        directory: pathlib.Path,
        all_finite: Callable[[], bool],
        loss_scale: Callable[[], float],
    ) -> None:
        self._checkpoints = checkpoints
        self._directory = directory
        self._all_finite = all_finite
        self._loss_scale = loss_scale

    def __call__(self, report: StepReport) -> None:
        bad = [name for name, value in report.metrics.items() if not math.isfinite(value)]
        if self._loss_scale() < _SMALLEST_LOSS_SCALE:
            bad.append("loss scale")
        if not bad and not self._all_finite():
            bad.append("weights")
        if bad:
            kept = self._checkpoints.latest and self._directory / pathlib.Path(self._checkpoints.latest).name
            advice = f"the last good checkpoint is {kept}" if kept else "no checkpoint had been saved"
            raise NonFiniteError(
                f"training: expected finite losses, gradients and weights, received {', '.join(bad)} not finite "
                f"between steps {report.step - report.num_steps} and {report.step}; {advice}"
            )


def roll_back(error: NonFiniteError, state: TrainState, directory: pathlib.Path, most: int) -> int:
    """Restore the last good checkpoint, from which the run goes on with other latents and another order of its images.

    Args:
        error: what happened.
        state: of the run; it counts how often this was done.
        directory: of the run's checkpoints.
        most: how often it may be done in a run.

    Returns:
        The step of the checkpoint.

    Raises:
        NonFiniteError: it was done too often already, or there is no checkpoint.
    """
    done = int(state.rollbacks.numpy())
    if done >= most:
        raise NonFiniteError(f"{error}; {done} rollbacks did not help (--max_rollbacks={most})") from error
    step = restore_latest(state, directory)
    if step is None:
        raise error
    state.rollbacks.assign(done + 1)
    _logger.warning("%s", error)
    _logger.warning("rollback %d of %d: on from step %d with other latents and images", done + 1, most, step)
    return step
