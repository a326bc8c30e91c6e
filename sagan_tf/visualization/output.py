"""Where pictures go: checked before any work is done, written whole or not at all."""

from __future__ import annotations

import functools
import os
import pathlib

from PIL import Image

from sagan_tf.errors import UserError
from sagan_tf.files import check_can_write_file, write_result
from sagan_tf.visualization.image_grid import save_png


def output_file(text: str, suffixes: tuple[str, ...], overwrite: bool) -> pathlib.Path:
    """Return the file to write.

    Raises:
        UserError: it has another suffix, is there already and may not be replaced, or cannot be written.
    """
    path = pathlib.Path(os.path.expanduser(text))
    if path.suffix.lower() not in suffixes:
        raise UserError(f"output: expected a file that ends in {' or '.join(suffixes)}, received {text}")
    if path.is_file() and not overwrite:
        raise UserError(f"output: expected a file that is not there yet, received {text}; --overwrite replaces it")
    check_can_write_file(path, "output")
    return path


def write_picture(picture: Image.Image, path: pathlib.Path) -> None:
    """Write a PNG file, see `write_result`."""
    write_result(path, "output", functools.partial(save_png, picture))
