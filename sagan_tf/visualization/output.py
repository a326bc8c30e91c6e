"""Where pictures go: checked before any work is done, written whole or not at all."""

from __future__ import annotations

import os
import pathlib

from PIL import Image

from sagan_tf.errors import UserError
from sagan_tf.visualization.image_grid import save_png


def output_file(text: str, suffixes: tuple[str, ...], overwrite: bool) -> pathlib.Path:
    """The file to write.

    Raises:
        UserError: it has another suffix, is there already and may not be replaced, or cannot be written.
    """
    path = pathlib.Path(os.path.expanduser(text))
    if path.suffix.lower() not in suffixes:
        raise UserError(f"output: expected a file that ends in {' or '.join(suffixes)}, received {text}")
    if path.is_dir():
        raise UserError(f"output: expected a file, received the folder {text}")
    if path.exists() and not overwrite:
        raise UserError(f"output: expected a file that is not there yet, received {text}; --overwrite replaces it")
    check_writable(path.absolute().parent, text)
    return path


def check_writable(folder: pathlib.Path, text: str) -> None:
    """Raises UserError unless a folder, or the nearest one above it that is there, can be written."""
    while not folder.exists():
        folder = folder.parent
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        raise UserError(f"output: expected a place that can be written, received {text}")


def write_picture(picture: Image.Image, path: pathlib.Path) -> None:
    """Writes a PNG; raises UserError if the disk does not take it."""
    try:
        save_png(picture, path)
    except OSError as error:
        raise UserError(f"output: expected to write {path}, received {error.strerror or error}") from error
