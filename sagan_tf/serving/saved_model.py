"""Versioned SavedModels, as TensorFlow Serving polls them: a version is there whole or not at all."""

from __future__ import annotations

import contextlib
import os
import pathlib
import tempfile
from collections.abc import Iterator
from typing import Any

import tensorflow as tf

from sagan_tf.errors import UserError
from sagan_tf.serving.model_card import write_card
from sagan_tf.serving.signatures import ExportedNetwork
from sagan_tf.serving.warm_up import write_warm_up


def write_saved_model(exported: ExportedNetwork, card: dict[str, Any], folder: pathlib.Path) -> None:
    """Fills a version's folder: the SavedModel, its card and requests to warm up with."""
    tf.saved_model.save(exported.module, str(folder), signatures=exported.signatures)
    write_card(card, folder)
    inputs = {name: one.structured_input_signature[1] for name, one in exported.signatures.items()}
    write_warm_up(folder, inputs)


@contextlib.contextmanager
def whole_folder(path: pathlib.Path) -> Iterator[pathlib.Path]:
    """A context that gives a folder to fill, which gets its name `path` when all is in it; one that is there goes.

    Raises:
        UserError: it cannot be written.
    """
    above = [folder for folder in path.parents if not folder.exists()]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # In the same place, so that a rename is all it takes; hidden, and no number: servers look for numbers.
        with tempfile.TemporaryDirectory(prefix=f".{path.name}_", dir=path.parent) as beside:
            new = pathlib.Path(beside) / "new"
            new.mkdir()
            yield new
            _take_place(new, path, pathlib.Path(beside) / "old")
    except (OSError, tf.errors.OpError) as error:
        reason = error.message if isinstance(error, tf.errors.OpError) else error.strerror or error
        raise UserError(f"output: expected to write {path}, received {reason}") from error
    finally:
        for folder in above:  # those that were made and have stayed empty
            with contextlib.suppress(OSError):
                folder.rmdir()


def _take_place(new: pathlib.Path, path: pathlib.Path, old: pathlib.Path) -> None:
    """Renames `new` to `path`; what is there becomes `old`, and comes back if that fails."""
    was_there = path.exists()
    if was_there:
        os.replace(path, old)
    try:
        os.replace(new, path)
    except BaseException:  # an interruption from the keyboard too
        if was_there:
            os.replace(old, path)
        raise
