"""Checkpoints of a run: the state and nothing else, the newest few kept."""

from __future__ import annotations

import contextlib
import logging
import pathlib
import re
import shutil
import time
from collections.abc import Iterator
from typing import Protocol

import tensorflow as tf

from sagan_tf.config import Config
from sagan_tf.errors import UserError
from sagan_tf.keras_backend import keras
from sagan_tf.tensorflow_paths import literal_path
from sagan_tf.networks import build_discriminator, build_generator
from sagan_tf.runs.checkpoint_list import LIST_FILE, read_list, write_list

_logger = logging.getLogger("sagan_tf")
BEST = "best"
"""The folder beside the newest checkpoints that holds the best one."""
BEST_RECORD = "best.json"
"""The file in it that says which one that is."""
_FIRST_SAVE = ".first_save"
"""Stands in a folder until its first checkpoint is on TensorFlow's list: files without a list are then one that was cut
off. Otherwise the list was lost."""


class State(Protocol):
    """What a checkpoint holds: an object of TensorFlow variables, such as `training.state.TrainState`."""

    @property
    def step(self) -> tf.Variable:
        """Number of the last step, an int64 scalar."""

    def all_finite(self) -> tf.Tensor:
        """Return whether all values are finite, a bool scalar."""


class Checkpoints:
    """Saves a state in a directory, and keeps the newest few checkpoints.

    Args:
        directory: where; made with the first checkpoint.
        state: what is saved.
        keep: how many of the newest are kept.
    """

    def __init__(self, directory: pathlib.Path, state: State, keep: int) -> None:
        self._directory = directory
        self._checkpoint = tf.train.Checkpoint(state=state)
        self._state = state
        self._keep = keep
        self._saved = read_list(directory)

    @property
    def latest(self) -> str | None:
        """Path prefix of the newest checkpoint, None if there is none."""
        return str(self._directory / list(self._saved)[-1]) if self._saved else None

    def newest_until(self, step: int) -> str | None:
        """Return the path prefix of the newest checkpoint of at most this step; None if there is none."""
        steps = [saved for saved in (int(name.partition("-")[2]) for name in self._saved) if saved <= step]
        return str(self._directory / f"step-{max(steps)}") if steps else None

    def save(self) -> str:
        """Save the state as it is and return the checkpoint's path prefix, which ends in the step."""
        directory, name = self._directory, f"step-{int(self._state.step.numpy())}"
        prefix = str(directory / name)
        if not (directory / LIST_FILE).exists():
            directory.mkdir(parents=True, exist_ok=True)
            (directory / _FIRST_SAVE).touch()
        try:
            self._checkpoint.save_counter.assign_add(1)  # as tf.train.CheckpointManager does
            self._checkpoint.write(prefix)
            self._saved.pop(name, None)
            self._saved[name] = time.time()
            write_list(directory, self._saved)
            self._remove_oldest()
        except (OSError, tf.errors.OpError):  # the disk is full, and half a checkpoint would stay on it
            remove_unfinished(directory)
            raise
        (directory / _FIRST_SAVE).unlink(missing_ok=True)
        return prefix

    def _remove_oldest(self) -> None:
        """Remove all but the newest few, by their exact names: tf.train.CheckpointManager takes paths for patterns."""
        oldest = list(self._saved)[: -self._keep]
        if not oldest:
            return
        for path in sorted(
            self._directory.iterdir(), reverse=True
        ):  # TensorFlow ignores a .data file without its .index
            name, _, ending = path.name.partition(".")
            if name in oldest and re.fullmatch(r"index|data-\d+-of-\d+", ending):
                path.unlink(missing_ok=True)
        for name in oldest:  # not before: the files that are left after a crash are still on the list
            del self._saved[name]
        write_list(self._directory, self._saved)


def remove_unfinished(directory: pathlib.Path) -> None:
    """Remove what a process that was killed while it saved has left in a folder, in which nobody else saves."""
    for path in directory.glob("step-*_temp"):
        shutil.rmtree(path, ignore_errors=True)
    patterns = ["*.tempstate*", f"{LIST_FILE}.tmp*", f"{LIST_FILE}.part"]
    if _first_was_cut_off(directory):
        patterns.append("step-*")
    for path in (path for pattern in [*patterns, _FIRST_SAVE] for path in directory.glob(pattern)):
        path.unlink(missing_ok=True)


def _first_was_cut_off(directory: pathlib.Path) -> bool:
    return (directory / _FIRST_SAVE).exists() and not (directory / LIST_FILE).exists()


class DamagedCheckpoint(UserError):
    """A checkpoint whose files are cut off, changed or missing in part."""


def restore_latest(state: State, directory: pathlib.Path) -> int | None:
    """Restore all values of the newest intact checkpoint in a directory; return its step, or None without a checkpoint.

    A damaged one is named in the log, and the one before it taken: TensorFlow keeps a checksum of every value. So is
    one with values that are not finite, from which training could not go on.

    Raises:
        UserError: no checkpoint is intact, or one does not hold this state's variables, one for one.
    """
    latest = newest_checkpoint(directory)
    if latest is None:
        return None
    damaged: list[DamagedCheckpoint] = []
    for prefix in [latest, *_older(directory, latest)]:
        try:
            with _readable(prefix) as path:
                status = tf.train.Checkpoint(state=state).restore(path)
                status.assert_existing_objects_matched()
                status.assert_consumed()
            # Losses are of the weights before an update: it may have spoilt those that were saved after it.
            if not state.all_finite():
                raise DamagedCheckpoint(f"checkpoint: expected finite values, received others in {prefix}")
            return int(state.step.numpy())
        except DamagedCheckpoint as error:
            _logger.warning("%s", error)
            damaged.append(error)
    raise damaged[0]


def _older(directory: pathlib.Path, latest: str) -> list[str]:
    """Path prefixes of the checkpoints before the newest, the newest first."""
    steps = {int(path.stem.partition("-")[2]): path.with_suffix("") for path in directory.glob("step-*.index")}
    newest = int(latest.rpartition("-")[2])
    return [str(steps[step]) for step in sorted(steps, reverse=True) if step < newest]


def load_generator(
    config: Config, directory: pathlib.Path, checkpoint: str = "latest", *, averaged: bool = True
) -> tuple[keras.Model, int]:
    """Build a run's generator and fill it from a checkpoint.

    Args:
        config: the run's.
        directory: its folder of checkpoints.
        checkpoint: `latest`, `best` (by the first metric of evaluations while training) or a step.
        averaged: the averaged generator, or else the one that is trained.

    Returns:
        The generator and the step of the checkpoint.

    Raises:
        UserError: if there is no such checkpoint, a damaged one, or one of another configuration.
    """
    generator = build_generator(config.model)
    step = _fill(generator, "generator_ema" if averaged else "generator", find_checkpoint(directory, checkpoint))
    return generator, step


def load_discriminator(config: Config, directory: pathlib.Path, checkpoint: str = "latest") -> keras.Model:
    """Build a run's discriminator and fill it from a checkpoint: see `load_generator`."""
    discriminator = build_discriminator(config.model)
    _fill(discriminator, "discriminator", find_checkpoint(directory, checkpoint))
    return discriminator


def _fill(network: keras.Model, name: str, prefix: str) -> int:
    """Fill a network from the part of a checkpoint of this name; return the checkpoint's step."""
    step = tf.Variable(0, dtype=tf.int64)
    with _readable(prefix) as path:
        part = tf.train.Checkpoint(**{name: network, "step": step})
        restored = tf.train.Checkpoint(state=part).restore(path)
        restored.expect_partial().assert_existing_objects_matched()
    return int(step.numpy())


def find_checkpoint(directory: pathlib.Path, checkpoint: str) -> str:
    """Path prefix of the checkpoint `latest`, `best` or of a step; raises UserError if there is none."""
    if checkpoint == "latest":
        found = newest_checkpoint(directory)
    elif checkpoint == "best":
        found = newest_checkpoint(directory / BEST)
    else:
        prefixes = (directory / f"step-{int(checkpoint)}", directory / BEST / f"step-{int(checkpoint)}")
        found = next((str(prefix) for prefix in prefixes if prefix.with_name(f"{prefix.name}.index").exists()), None)
    if found is None:
        steps = sorted(int(path.stem.partition("-")[2]) for path in directory.glob("step-*.index"))
        received = f"only steps {', '.join(map(str, steps))}" if steps else "none"
        hint = "; --evaluate_every keeps it" if checkpoint == "best" else ""
        raise UserError(f"checkpoint: expected {checkpoint} in {directory}, received {received}{hint}")
    return found


def newest_checkpoint(directory: pathlib.Path) -> str | None:
    """Path prefix of the newest checkpoint in a folder, by TensorFlow's list there; None if the folder has none.

    Raises:
        UserError: if checkpoints lie there and the list does not name one: a run is never begun anew over them.
    """
    steps = (path.stem.removeprefix("step-") for path in directory.glob("step-*.index"))
    present = [f"step-{step}" for step in sorted(filter(str.isdecimal, steps), key=int)]
    listed = read_list(directory) if present else {}
    if not listed and present and not _first_was_cut_off(directory):
        listing = directory / LIST_FILE
        raise UserError(
            f"checkpoint: expected {listing} to name one of {', '.join(present)}, received a damaged or missing file; "
            f'write the line model_checkpoint_path: "{present[-1]}" into it, or choose another run_dir'
        )
    return str(directory / list(listed)[-1]) if listed else None


@contextlib.contextmanager
def _readable(prefix: str) -> Iterator[str]:
    """Yield the path to restore a checkpoint from, and turn what TensorFlow raises into one clear line."""
    with literal_path(prefix) as path:
        try:
            yield path
        except (AssertionError, ValueError) as error:
            reason = (str(error).splitlines() or ["other variables"])[0].replace(path, prefix)
            raise UserError(f"checkpoint: expected one of this configuration, received {prefix} ({reason})") from error
        except (IndexError, RuntimeError, tf.errors.OpError) as error:
            reason = str(error).splitlines()[0].replace(path, prefix)
            raise DamagedCheckpoint(f"checkpoint: expected an intact one, received {prefix} ({reason})") from error
