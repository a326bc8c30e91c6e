"""TensorFlow's file `checkpoint`, which lists the checkpoints of a directory."""

from __future__ import annotations

import pathlib
import re

import tensorflow as tf

from sagan_tf.files import write_atomically

LIST_FILE = "checkpoint"


def read_checkpoint_list(directory: pathlib.Path) -> dict[str, float]:
    """Read the names of a directory's checkpoints (`step-4`) and their times.

    A name refers to files in this directory, even if the list has another path, because the directory may have been
    moved. The files may be damaged or missing.

    Args:
        directory: Directory of the checkpoints.

    Returns:
        Time of saving in seconds since 1970 by name, the newest checkpoint last. Empty if there is no list or if
        it does not name a newest checkpoint.
    """
    try:
        state = tf.train.get_checkpoint_state(str(directory))
    except ValueError:
        return {}
    if state is None or not _parse_name(state.model_checkpoint_path):
        return {}
    paths, times = list(state.all_model_checkpoint_paths), list(state.all_model_checkpoint_timestamps)
    times += [0.0] * (len(paths) - len(times))
    saved = {_parse_name(path): time for path, time in zip(paths, times, strict=False)}
    newest = _parse_name(state.model_checkpoint_path)
    saved[newest] = saved.pop(newest, 0.0)
    saved.pop("", None)
    return saved


def write_checkpoint_list(directory: pathlib.Path, saved: dict[str, float]) -> None:
    """Write the names of a directory's checkpoints and their times.

    Args:
        directory: Directory of the checkpoints.
        saved: Time of saving in seconds since 1970 by name, the newest checkpoint last.
    """
    *_, newest = saved
    # With an absolute directory, TensorFlow does not add paths to the names, so that the directory can be moved.
    state = tf.compat.v1.train.generate_checkpoint_state_proto(
        str(directory.absolute()), newest, list(saved), list(saved.values())
    )
    write_atomically(directory / LIST_FILE, str(state), durable=True)


def _parse_name(path: str) -> str:
    """Return a name such as `step-4`; empty if the path is not a checkpoint."""
    name = pathlib.PurePath(path).name
    return name if re.fullmatch(r"step-\d+", name, re.ASCII) else ""
