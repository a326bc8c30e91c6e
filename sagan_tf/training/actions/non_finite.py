"""Detection of non-finite values, and the rollback to the last good checkpoint."""

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
_MIN_LOSS_SCALE = 2.0**-10
"""The smallest loss scale of a healthy run."""


class NonFiniteError(UserError):
    """Raised if a loss, a gradient or a weight is not finite.

    The last checkpoint is still valid.
    """


class CheckFinite:
    """Action that raises NonFiniteError for a non-finite loss, gradient or weight.

    It has to run before the actions that save.

    Args:
        checkpoints: The checkpoints of the run.
        directory: The directory of the checkpoints of the chief, for the message; the other workers save elsewhere.
        has_finite_weights: Returns whether all weights are finite. The last update changes them after the last loss.
        read_loss_scale: Returns the smallest loss scale of the optimizers. With mixed_float16 single overflows are
            normal, and a very small loss scale shows that gradients remain non-finite.
    """

    def __init__(
        self,
        checkpoints: Checkpoints,
        directory: pathlib.Path,
        has_finite_weights: Callable[[], bool],
        read_loss_scale: Callable[[], float],
    ) -> None:
        self._checkpoints = checkpoints
        self._directory = directory
        self._has_finite_weights = has_finite_weights
        self._read_loss_scale = read_loss_scale

    def __call__(self, report: StepReport) -> None:
        """Check the metrics, the loss scale and the weights."""
        non_finite = [name for name, value in report.metrics.items() if not math.isfinite(value)]
        if self._read_loss_scale() < _MIN_LOSS_SCALE:
            non_finite.append("loss scale")
        if not non_finite and not self._has_finite_weights():
            non_finite.append("weights")
        if non_finite:
            latest = self._checkpoints.latest and self._directory / pathlib.Path(self._checkpoints.latest).name
            advice = f"the last good checkpoint is {latest}" if latest else "no checkpoint had been saved"
            raise NonFiniteError(
                f"training: expected finite losses, gradients and weights, received non-finite {', '.join(non_finite)} "
                f"between steps {report.step - report.num_steps} and {report.step}; {advice}"
            )


def roll_back(error: NonFiniteError, state: TrainState, directory: pathlib.Path, max_rollbacks: int) -> int:
    """Restore the last good checkpoint after a non-finite value.

    The run continues with other latents and another order of the images.

    Args:
        error: The error that led to the rollback.
        state: The state of the run; it counts the rollbacks.
        directory: The directory of the run's checkpoints.
        max_rollbacks: The largest number of rollbacks in a run.

    Returns:
        The step of the checkpoint.

    Raises:
        NonFiniteError: There have been `max_rollbacks` rollbacks already, or there is no checkpoint.
    """
    done = int(state.rollbacks.numpy())
    if done >= max_rollbacks:
        raise NonFiniteError(f"{error}; {done} rollbacks did not help (--max_rollbacks={max_rollbacks})") from error
    step = restore_latest(state, directory)
    if step is None:
        raise error
    state.rollbacks.assign(done + 1)
    _logger.warning("%s", error)
    _logger.warning(
        "rollback %d of %d: resuming at step %d with other latents and images", done + 1, max_rollbacks, step
    )
    return step
