"""The file `checkpoint` that lists the checkpoints of a directory, as TensorFlow writes it."""

from __future__ import annotations

import pathlib
import re

import tensorflow as tf

from sagan_tf.files import write_atomically

LIST_FILE = "checkpoint"


def read_list(directory: pathlib.Path) -> dict[str, float]:
    """Read the names of a directory's checkpoints (`step-4`), the newest last, and when each was saved.

    A name means the files of that name in this directory, wherever the list says that they are: the directory may have
    been moved. The files may be damaged or missing.

    Returns:
        Seconds since 1970 by name; empty if there is no list, or if it does not name a newest one.
    """
    try:
        state = tf.train.get_checkpoint_state(str(directory))
    except ValueError:
        return {}
    if state is None or not _name(state.model_checkpoint_path):
        return {}
    paths, times = list(state.all_model_checkpoint_paths), list(state.all_model_checkpoint_timestamps)
    times += [0.0] * (len(paths) - len(times))
    saved = {_name(path): time for path, time in zip(paths, times, strict=False)}
    newest = _name(state.model_checkpoint_path)
    saved[newest] = saved.pop(newest, 0.0)
    saved.pop("", None)
    return saved


def write_list(directory: pathlib.Path, saved: dict[str, float]) -> None:
    """Write the names of a directory's checkpoints, the newest last, and when each was saved, in seconds since 1970."""
    *_, newest = saved
    # With an absolute directory TensorFlow leaves the names as they are, so that the directory can be moved.
    state = tf.compat.v1.train.generate_checkpoint_state_proto(
        str(directory.absolute()), newest, list(saved), list(saved.values())
    )
    write_atomically(directory / LIST_FILE, str(state))


def _name(path: str) -> str:
    """Return the name of a checkpoint of this project, `step-4`; empty for any other path."""
    name = pathlib.PurePath(path).name
    return name if re.fullmatch(r"step-\d+", name, re.ASCII) else ""
