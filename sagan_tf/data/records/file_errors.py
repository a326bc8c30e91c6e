"""Errors of record files that are missing or cannot be read, with advice."""

from __future__ import annotations

import os

import tensorflow as tf

from sagan_tf.data.records.record_files import RecordFile
from sagan_tf.errors import UserError
from sagan_tf.text import make_printable


def check_files_exist(files: tuple[RecordFile, ...]) -> None:
    """Raise UserError if one of `files` does not exist."""
    # One listing for each directory: asking for a thousand files by name takes a minute on remote storage.
    directories = {os.path.dirname(file.path) for file in files}
    existing = filter(tf.io.gfile.isdir, directories)
    present = {os.path.join(directory, name) for directory in existing for name in _list_directory(directory)}
    missing = [file.path for file in files if file.path not in present]
    if missing:
        raise UserError(
            f"data_dir: the record file {missing[0]} does not exist ({len(missing)} of {len(files)} are missing); "
            f"mount its file system or, if it is mounted, {format_repair_advice(missing[0])}"
        )


def format_access_error(path: str, error: tf.errors.OpError) -> str:
    """Return the message for data that TensorFlow cannot read."""
    reason = make_printable(error.message.splitlines()[0]) if error.message else type(error).__name__
    return f"data_dir: cannot read {path}: {reason}; check its permissions, and that its file system is mounted"


def _list_directory(directory: str) -> list[str]:
    try:
        return list(tf.io.gfile.listdir(directory))
    except tf.errors.OpError as error:
        raise UserError(format_access_error(directory, error)) from error


def format_repair_advice(path: str) -> str:
    """Return how to repair a data set with a damaged or missing file.

    If some of its files are missing, TFDS still takes the directory for a prepared data set and prepares nothing, and
    `tools/prepare_imagenet.py` refuses to overwrite it.

    Args:
        path: A record file, or a file that describes the record files.

    Returns:
        Advice for a message, without a capital letter and a full stop.
    """
    directory = os.path.dirname(path)
    return f"{f'remove the directory {make_printable(directory)} and ' if directory else ''}prepare the data set again"
