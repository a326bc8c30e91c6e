"""Output files of images, checked before any work and written atomically."""

from __future__ import annotations

import functools
import os
import pathlib

from PIL import Image

from sagan_tf.errors import UserError
from sagan_tf.files import check_can_write_file, write_result
from sagan_tf.visualization.image_grid import save_png


def resolve_output_file(text: str, suffixes: tuple[str, ...], overwrite: bool) -> pathlib.Path:
    """Convert the value of `--output` to a path and check that it can be written.

    Args:
        text: Value of the option.
        suffixes: Allowed suffixes in lower case, such as `.png`.
        overwrite: Whether an existing file may be replaced.

    Returns:
        Path of the file.

    Raises:
        UserError: The file has a different suffix, exists and must not be replaced, or cannot be written.
    """
    path = pathlib.Path(os.path.expanduser(text))
    if path.suffix.lower() not in suffixes:
        raise UserError(f"output: expected a file that ends in {' or '.join(suffixes)}, received {text}")
    if path.is_file() and not overwrite:
        raise UserError(f"output: {text} exists; choose another --output, or pass --overwrite to replace it")
    check_can_write_file(path, "output")
    return path


def write_image(image: Image.Image, path: pathlib.Path) -> None:
    """Write a PNG file; see `write_result`."""
    write_result(path, "output", functools.partial(save_png, image))
