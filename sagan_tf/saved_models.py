"""Loading and digests of SavedModels in directories of any name."""

from __future__ import annotations

import hashlib
import pathlib
from typing import Any

import tensorflow as tf

from sagan_tf.errors import UserError
from sagan_tf.tensorflow_paths import check_tensorflow_path, literal_path

NUM_COMPARED = 4
"""Number of examples on which a SavedModel is compared with the network that has its weights."""
MAX_ERROR = 1e-3
"""Largest difference of an output of the two that rounding in float32 could cause."""


def load_saved_model(directory: pathlib.Path, option: str) -> Any:
    """Load the SavedModel in a directory.

    Args:
        directory: Holds `saved_model.pb` and `variables`.
        option: The option that names the directory, for messages.

    Raises:
        UserError: The directory has no SavedModel, the SavedModel is damaged, or its path is not UTF-8.
    """
    check_tensorflow_path(option, directory)
    if not (directory / "saved_model.pb").is_file():
        raise UserError(
            f"{option}: expected a directory with a SavedModel (saved_model.pb and variables), received {directory}"
        )
    with literal_path(directory) as path:
        try:
            return tf.saved_model.load(path)
        except Exception as error:  # the loader raises many kinds of exceptions for damaged files
            reason = (str(error).splitlines() or [type(error).__name__])[0].replace(path, str(directory))
            raise UserError(f"{option}: the SavedModel in {directory} is damaged: {reason}") from error


def compute_saved_model_digest(directory: pathlib.Path) -> str:
    """Return a short digest of the SavedModel's graph and weights."""
    digest = hashlib.sha256()
    for path in [directory / "saved_model.pb", *sorted((directory / "variables").glob("*"))]:
        digest.update(path.name.encode())
        with path.open("rb") as file:
            while block := file.read(2**20):
                digest.update(block)
    return digest.hexdigest()[:16]
