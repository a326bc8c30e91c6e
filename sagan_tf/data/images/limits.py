"""Limits on the size of an image, checked before memory is allocated for it. Imports no TensorFlow."""

from __future__ import annotations

import os
import stat

MAX_PIXELS = 2**26
"""Width times height: 8192 x 8192, or any photograph of up to 67 megapixels. Pillow takes 4 bytes for each pixel, and
up to 24 (transparent WebP) while it resizes the image. A file of a hundred bytes can claim a million times as many."""
MAX_SIDE_PIXELS = 65_535
"""The limit of the JPEG format. Decoders take memory, and loop, for each row."""
MAX_FILE_BYTES = 4 * MAX_PIXELS
"""The size of the largest image without compression."""


class UnreadableImageError(ValueError):
    """An error for bytes that cannot be decoded as an image."""


def check_size(width: int, height: int) -> None:
    """Check the size that an image declares.

    Args:
        width: Width in pixels.
        height: Height in pixels.

    Raises:
        UnreadableImageError: The image has more than `MAX_PIXELS` pixels, or a side of more than `MAX_SIDE_PIXELS`.
    """
    if width * height > MAX_PIXELS or width > MAX_SIDE_PIXELS or height > MAX_SIDE_PIXELS:
        raise UnreadableImageError(
            f"expected at most {MAX_PIXELS / 1e6:.0f} million pixels, and at most {MAX_SIDE_PIXELS} on each side, "
            f"received {width} x {height}; reduce the size of the image"
        )


def check_file(path: str | os.PathLike[str]) -> None:
    """Check that a path can be the file of an image.

    Reading a pipe would block forever, and a device may have no end.

    Args:
        path: The path.

    Raises:
        UnreadableImageError: The path is not a regular file, or the file has more than `MAX_FILE_BYTES`.
        OSError: The path does not exist or cannot be accessed.
    """
    status = os.stat(path)
    if not stat.S_ISREG(status.st_mode):
        raise UnreadableImageError("expected a regular file, received a directory, pipe or device")
    check_file_bytes(status.st_size)


def check_file_bytes(num_bytes: int) -> None:
    """Raise UnreadableImageError if an encoded image has more than `MAX_FILE_BYTES`."""
    if num_bytes > MAX_FILE_BYTES:
        raise UnreadableImageError(f"expected at most {MAX_FILE_BYTES:,} bytes, received {num_bytes:,}")


def read_file(path: str | os.PathLike[str]) -> bytes:
    """Read the file of an image, with the checks and exceptions of `check_file`."""
    check_file(path)
    with open(path, "rb") as file:
        return file.read()
