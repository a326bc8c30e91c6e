"""Scans of a JPEG: a file of a few bytes a scan would keep a decoder busy for hours."""

from __future__ import annotations

import re

from PIL import JpegImagePlugin

from sagan_tf.data.images.limits import UnreadableImageError

MOST_SCANS = 100
"""Encoders make 10, some a few dozen. One takes some 4 ms in the largest image, and 10 bytes in its file."""

_SCAN, _END = 0xDA, 0xD9
# Not 0, which stands for an FF in the data, nor the start and restarts, which have no length.
_MARKER = re.compile(rb"\xff([\x02-\xcf\xd9-\xfe])")


def check_scans(image: JpegImagePlugin.JpegImageFile, encoded: bytes, position: int) -> None:
    """Refuse a JPEG with far too many scans, before it is decoded.

    Args:
        image: opened, not loaded.
        encoded: its file.
        position: how far the file was read: up to the data of the first scan.

    Raises:
        UnreadableImageError: there are more than `MOST_SCANS`.
    """
    if not _ends_with_its_first_scan(image, encoded, position) and _has_more_scans(encoded):
        raise UnreadableImageError(f"expected a JPEG of at most {MOST_SCANS} scans, received more")


def _ends_with_its_first_scan(image: JpegImagePlugin.JpegImageFile, encoded: bytes, position: int) -> bool:
    """Return whether the first scan has all components whole, so that the decoder stops after it."""
    start = position - 8 - 2 * image.layers
    if "progressive" in image.info or start < 0:  # or one of several pictures, of which Pillow starts anew
        return False
    return encoded[start : start + 2] == b"\xff\xda" and encoded[start + 4] == image.layers


def _has_more_scans(encoded: bytes) -> bool:
    scans = position = 0
    while scans <= MOST_SCANS and (marker := _MARKER.search(encoded, position)):
        kind, position = marker[1][0], marker.end()
        if kind == _END:
            break
        scans += kind == _SCAN
        position += int.from_bytes(encoded[position : position + 2], "big")
    return scans > MOST_SCANS
