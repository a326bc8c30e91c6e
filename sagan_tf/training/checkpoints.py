"""Checkpoints of a run: the state and nothing else, the newest few kept."""

from __future__ import annotations

import contextlib
import pathlib
from collections.abc import Iterator

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
        UserError: if the checkpoint is damaged, or does not hold this state's variables, one for one.
    """
    latest = newest_checkpoint(directory)
    if latest is None:
        return None
    with _explaining(latest):
        status = tf.train.Checkpoint(state=state).restore(latest)
        status.assert_existing_objects_matched()
        status.assert_consumed()
    return int(state.step.numpy())


def load_averaged_generator(config: Config, directory: pathlib.Path) -> tuple[keras.Model, int]:
    """Builds a run's averaged generator and fills it from the newest checkpoint.

    Args:
        config: the run's.
        directory: its folder of checkpoints.

    Returns:
        The generator and the step of the checkpoint.

    Raises:
        UserError: if there is no checkpoint, a damaged one, or one of another configuration.
    """
    latest = newest_checkpoint(directory)
    if latest is None:
        raise UserError(f"checkpoint: expected one in {directory}, received none")
    generator = build_generator(config.model)
    step = tf.Variable(0, dtype=tf.int64)
    checkpoint = tf.train.Checkpoint(state=tf.train.Checkpoint(generator_ema=generator, step=step))
    with _explaining(latest):
        checkpoint.restore(latest).expect_partial().assert_existing_objects_matched()
    return generator, int(step.numpy())


def newest_checkpoint(directory: pathlib.Path) -> str | None:
    """Path prefix of the newest checkpoint in a folder, by TensorFlow's list there; None if the folder has none.

    Raises:
        UserError: if checkpoints lie there and the list does not name one: a run is never begun anew over them.
    """
    try:
        latest = tf.train.latest_checkpoint(str(directory))
    except ValueError:
        latest = None
    present = sorted(path.stem for path in directory.glob("step-*.index"))
    if latest is None and present:
        listing = directory / "checkpoint"
        raise UserError(
            f"checkpoint: expected {listing} to name one of {', '.join(present)}, received a damaged or missing file; "
            f'write the line model_checkpoint_path: "{present[-1]}" into it, or choose another run_dir'
        )
    return latest


@contextlib.contextmanager
def _explaining(checkpoint: str) -> Iterator[None]:
    """Turns what TensorFlow raises on restoring into one clear line."""
    try:
        yield
    except (AssertionError, ValueError) as error:
        reason = str(error).splitlines()[0] if str(error) else "other variables"
        raise UserError(f"checkpoint: expected one of this configuration, received {checkpoint} ({reason})") from error
    except (IndexError, RuntimeError, tf.errors.OpError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(
            f"checkpoint: expected an intact one, received {checkpoint} ({reason}); to go on from an older one, remove "
            "its files and name the older one in the file checkpoint beside it"
        ) from error
