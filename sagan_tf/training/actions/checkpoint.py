"""The action that saves checkpoints."""

from __future__ import annotations

from sagan_tf.runs.checkpoints import Checkpoints
from sagan_tf.training.actions.schedule import StepReport


class SaveCheckpoint:
    """Action that saves a checkpoint."""

    def __init__(self, checkpoints: Checkpoints) -> None:
        self._checkpoints = checkpoints

    def __call__(self, report: StepReport) -> None:
        """Save a checkpoint."""
        self._checkpoints.save()
