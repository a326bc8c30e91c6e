"""Checkpoints of a run: the state and nothing else, the newest few kept."""

from __future__ import annotations

import pathlib

import keras
import tensorflow as tf

from sagan_tf.config import Config
from sagan_tf.errors import UserError
from sagan_tf.networks import build_generator
from sagan_tf.training.state import TrainState


class Checkpoints:
    """Saves a `TrainState` in a folder, and keeps the newest few.

    Args:
        directory: where; made with the first checkpoint.
        state: what is saved.
        keep: how many of the newest are kept.
    """

    def __init__(self, directory: pathlib.Path, state: TrainState, keep: int) -> None:
        self._checkpoint = tf.train.Checkpoint(state=state)
        self._state = state
        self._manager = tf.train.CheckpointManager(
            self._checkpoint, str(directory), max_to_keep=keep, checkpoint_name="step"
        )

    @property
    def latest(self) -> str | None:
        """Path prefix of the newest checkpoint, None if there is none."""
        return self._manager.latest_checkpoint

    def save(self) -> str:
        """Saves the state as it is and returns the checkpoint's path prefix, which ends in the step."""
        return self._manager.save(checkpoint_number=int(self._state.step.numpy()))


def restore_latest(state: TrainState, directory: pathlib.Path) -> int | None:
    """Restores the newest checkpoint in a folder, every value of it, and returns its step; None if there is none.

    Raises:
        UserError: if the checkpoint does not hold this state's variables, one for one.
    """
    latest = tf.train.latest_checkpoint(str(directory))
    if latest is None:
        return None
    try:
        status = tf.train.Checkpoint(state=state).restore(latest)
        status.assert_existing_objects_matched()
        status.assert_consumed()
    except (AssertionError, ValueError, tf.errors.OpError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"checkpoint: expected one of this configuration, received {latest} ({reason})") from error
    return int(state.step.numpy())


def load_averaged_generator(config: Config, directory: pathlib.Path) -> tuple[keras.Model, int]:
    """Builds a run's averaged generator and fills it from the newest checkpoint.

    Args:
        config: the run's.
        directory: its folder of checkpoints.

    Returns:
        The generator and the step of the checkpoint.

    Raises:
        UserError: if there is no checkpoint, or one of another configuration.
    """
    latest = tf.train.latest_checkpoint(str(directory))
    if latest is None:
        raise UserError(f"checkpoint: expected one in {directory}, received none")
    generator = build_generator(config.model)
    step = tf.Variable(0, dtype=tf.int64)
    checkpoint = tf.train.Checkpoint(state=tf.train.Checkpoint(generator_ema=generator, step=step))
    try:
        checkpoint.restore(latest).expect_partial().assert_existing_objects_matched()
    except (AssertionError, ValueError, tf.errors.OpError) as error:
        raise UserError(f"checkpoint: expected one of this configuration, received {latest}") from error
    return generator, int(step.numpy())
