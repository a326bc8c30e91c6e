"""Checkpoints of a run, which hold the training state and nothing else."""

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

from sagan_tf.disk_sync import sync_to_disk
from sagan_tf.errors import UserError
from sagan_tf.runs.checkpoint_list import LIST_FILE, read_checkpoint_list, write_checkpoint_list
from sagan_tf.tensorflow_paths import literal_path

_logger = logging.getLogger("sagan_tf")
BEST_DIRECTORY = "best"
"""Name of the subdirectory that holds the best checkpoint."""
BEST_RECORD = "best.json"
"""Name of the file in this subdirectory that describes the best checkpoint."""
_FIRST_SAVE = ".first_save"
"""Name of a file that exists until the first checkpoint of a directory is on TensorFlow's list. If checkpoint files lie
there without a list, this file shows that the first save was interrupted. Without this file, the list was lost."""


class State(Protocol):
    """Content of a checkpoint: TensorFlow variables, such as `training.state.TrainState`."""

    @property
    def step(self) -> tf.Variable:
        """Last step, an int64 scalar."""

    def has_finite_values(self) -> tf.Tensor:
        """Check that all values are finite, a bool scalar."""


class Checkpoints:
    """Checkpoints of a state in one directory, of which the newest are kept.

    Args:
        directory: Directory of the checkpoints; the first save creates it.
        state: State to save.
        keep: Number of newest checkpoints to keep.
    """

    def __init__(self, directory: pathlib.Path, state: State, keep: int) -> None:
        self._directory = directory
        self._checkpoint = tf.train.Checkpoint(state=state)
        self._state = state
        self._keep = keep
        self._saved = read_checkpoint_list(directory)

    @property
    def latest(self) -> str | None:
        """Path prefix of the newest checkpoint; None without checkpoints."""
        return str(self._directory / list(self._saved)[-1]) if self._saved else None

    def find_newest_until(self, step: int) -> str | None:
        """Find the path prefix of the newest checkpoint up to a step; None without one."""
        steps = [saved for saved in (int(name.partition("-")[2]) for name in self._saved) if saved <= step]
        return str(self._directory / f"step-{max(steps)}") if steps else None

    def save(self) -> str:
        """Save the present state and return the path prefix, which ends in the step."""
        directory, name = self._directory, f"step-{int(self._state.step.numpy())}"
        prefix = str(directory / name)
        if not (directory / LIST_FILE).exists():
            directory.mkdir(parents=True, exist_ok=True)
            (directory / _FIRST_SAVE).touch()
        try:
            self._checkpoint.save_counter.assign_add(1)  # as tf.train.CheckpointManager does
            self._checkpoint.write(prefix)
            # Older checkpoints are removed only when a power failure cannot damage this one.
            sync_to_disk(*(path for path in directory.iterdir() if path.name.startswith(f"{name}.")), directory)
            self._saved.pop(name, None)
            self._saved[name] = time.time()
            write_checkpoint_list(directory, self._saved)
            self._remove_oldest()
        except (OSError, tf.errors.OpError):  # when the disk is full, do not leave half a checkpoint on it
            remove_unfinished_checkpoints(directory)
            raise
        (directory / _FIRST_SAVE).unlink(missing_ok=True)
        return prefix

    def _remove_oldest(self) -> None:
        """Remove all but the newest checkpoints, by their exact names.

        tf.train.CheckpointManager is not used, because it treats paths as patterns.
        """
        oldest = list(self._saved)[: -self._keep]
        if not oldest:
            return
        # Remove the .index file first: TensorFlow ignores a .data file without its .index file.
        for path in sorted(self._directory.iterdir(), reverse=True):
            name, _, ending = path.name.partition(".")
            if name in oldest and re.fullmatch(r"index|data-\d+-of-\d+", ending):
                path.unlink(missing_ok=True)
        for name in oldest:  # only now, so that files left after a crash are still on the list
            del self._saved[name]
        write_checkpoint_list(self._directory, self._saved)


def remove_unfinished_checkpoints(directory: pathlib.Path) -> None:
    """Remove the files of an interrupted save.

    Args:
        directory: Directory of checkpoints, in which no other process saves.
    """
    for path in directory.glob("step-*_temp"):
        shutil.rmtree(path, ignore_errors=True)
    patterns = ["*.tempstate*", f"{LIST_FILE}.tmp*", f"{LIST_FILE}.part"]
    if _is_first_save_unfinished(directory):
        patterns.append("step-*")
    for path in (path for pattern in [*patterns, _FIRST_SAVE] for path in directory.glob(pattern)):
        path.unlink(missing_ok=True)


def _is_first_save_unfinished(directory: pathlib.Path) -> bool:
    return (directory / _FIRST_SAVE).exists() and not (directory / LIST_FILE).exists()


class DamagedCheckpointError(UserError):
    """Raised for a checkpoint with damaged or missing files or values that are not finite."""


def restore_latest(state: State, directory: pathlib.Path) -> int | None:
    """Restore all values of a state from the newest intact checkpoint in a directory.

    A damaged checkpoint is reported in the log, and the checkpoint before it is used instead. TensorFlow detects damage
    by a checksum of every value. A checkpoint with values that are not finite counts as damaged, because training could
    not continue from it.

    Args:
        state: State to restore into.
        directory: Directory of the checkpoints.

    Returns:
        The step of the checkpoint; None if the directory has no checkpoint.

    Raises:
        UserError: All checkpoints are damaged, or the variables of a checkpoint differ from those of the state.
    """
    latest = find_newest_checkpoint(directory)
    if latest is None:
        return None
    damaged: list[DamagedCheckpointError] = []
    for prefix in [latest, *_find_older(directory, latest)]:
        try:
            with explain_restore_errors(prefix) as path:
                status = tf.train.Checkpoint(state=state).restore(path)
                status.assert_existing_objects_matched()
                status.assert_consumed()
            # Finite losses do not suffice: they come from the weights before the update that preceded the save.
            if not state.has_finite_values():
                raise DamagedCheckpointError(f"checkpoint: {prefix} has values that are not finite (NaN or infinity)")
            return int(state.step.numpy())
        except DamagedCheckpointError as error:
            _logger.warning("%s", error)
            damaged.append(error)
    raise damaged[0]


def _find_older(directory: pathlib.Path, latest: str) -> list[str]:
    """Find the prefixes of the checkpoints before the newest, latest step first."""
    steps = {int(path.stem.partition("-")[2]): path.with_suffix("") for path in directory.glob("step-*.index")}
    newest = int(latest.rpartition("-")[2])
    return [str(steps[step]) for step in sorted(steps, reverse=True) if step < newest]


def find_newest_checkpoint(directory: pathlib.Path) -> str | None:
    """Find the newest checkpoint of a directory by TensorFlow's list.

    Args:
        directory: Directory of checkpoints.

    Returns:
        Path prefix of the newest checkpoint; None if the directory has no checkpoint.

    Raises:
        UserError: Checkpoints exist and the list does not name one of them. A new run never starts over them.
    """
    steps = (path.stem.removeprefix("step-") for path in directory.glob("step-*.index"))
    present = [f"step-{step}" for step in sorted(filter(str.isdecimal, steps), key=int)]
    listed = read_checkpoint_list(directory) if present else {}
    if not listed and present and not _is_first_save_unfinished(directory):
        listing = directory / LIST_FILE
        raise UserError(
            f"checkpoint: {listing} is missing or does not name one of {', '.join(present)}; write the line "
            f'model_checkpoint_path: "{present[-1]}" into it, or choose another --run_dir'
        )
    return str(directory / list(listed)[-1]) if listed else None


@contextlib.contextmanager
def explain_restore_errors(prefix: str) -> Iterator[str]:
    """Yield the path of a checkpoint; convert TensorFlow's errors to `UserError`."""
    with literal_path(prefix) as path:
        try:
            yield path
        except (AssertionError, ValueError) as error:
            reason = (str(error).splitlines() or ["different variables"])[0].replace(path, prefix)
            raise UserError(
                f"checkpoint: {prefix} does not fit this configuration ({reason}); use the flags of its own run, and "
                "the version of sagan_tf in the run's versions.json"
            ) from error
        except (IndexError, RuntimeError, tf.errors.OpError) as error:
            reason = str(error).splitlines()[0].replace(path, prefix)
            raise DamagedCheckpointError(f"checkpoint: {prefix} is damaged ({reason})") from error
