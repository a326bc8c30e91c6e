"""How large an image may be, checked before memory is taken for it. Imports no TensorFlow."""

from __future__ import annotations

import os
import stat

LARGEST_PIXELS = 2**26
"""Width times height: 8192 x 8192, or any photograph of up to 67 megapixels. Pillow takes 4 bytes for each, and on the
way to the networks' size up to 24 (transparent WebP). A file of a hundred bytes can claim a million times as many."""
LARGEST_SIDE = 65_535
"""Pixels; what JPEG can say. Decoders take memory, and loops, by the row."""
LARGEST_FILE = 4 * LARGEST_PIXELS
"""Bytes: what the largest image takes when nothing is compressed."""


class UnreadableImageError(ValueError):
    """What should be an image is none that can be decoded."""


def check_size(width: int, height: int) -> None:
    """Raise UnreadableImageError for an image that says that it is too large."""
    if width * height > LARGEST_PIXELS or width > LARGEST_SIDE or height > LARGEST_SIDE:
        raise UnreadableImageError(
            f"expected at most {LARGEST_PIXELS / 1e6:.0f} million pixels, and {LARGEST_SIDE} a side, received "
            f"{width} x {height}; make it smaller"
        )


def check_file(path: str | os.PathLike[str]) -> None:
    """Raise UnreadableImageError for what cannot be an image's file: a pipe would be waited for without end.

    Raises:
        OSError: it is not there.
    """
    status = os.stat(path)
    if not stat.S_ISREG(status.st_mode):
        raise UnreadableImageError("expected a file, received a folder, pipe or device")
    check_length(status.st_size)


def check_length(num_bytes: int) -> None:
    """Raise UnreadableImageError for an encoded image of more bytes than any has."""
    if num_bytes > LARGEST_FILE:
        raise UnreadableImageError(f"expected at most {LARGEST_FILE:,} bytes, received {num_bytes:,}")


def read_file(path: str | os.PathLike[str]) -> bytes:
    """Return an image's file, if it can be one; raise as `check_file`."""
    check_file(path)
    with open(path, "rb") as file:
        return file.read()
