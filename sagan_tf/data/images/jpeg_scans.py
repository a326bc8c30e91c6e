"""The limit on the scans of a JPEG: a file with a few bytes per scan could keep a decoder busy for hours."""

from __future__ import annotations

import re

from PIL import JpegImagePlugin

from sagan_tf.data.images.limits import UnreadableImageError

MAX_SCANS = 100
"""Encoders make 10, some a few dozen. A scan takes about 4 ms in the largest image, and 10 bytes of the file."""

_SCAN_MARKER, _END_MARKER = 0xDA, 0xD9
# Excludes 0, which escapes an FF byte in the data, and the start and restart markers, which have no length.
_MARKER = re.compile(rb"\xff([\x02-\xcf\xd9-\xfe])")


def check_scans(image: JpegImagePlugin.JpegImageFile, encoded: bytes, position: int) -> None:
    """Check the number of scans of a JPEG before it is decoded.

    Args:
        image: The image, opened but not loaded.
        encoded: The content of its file.
        position: How many bytes of the file were read: up to the data of the first scan.

    Raises:
        UnreadableImageError: The image has more than `MAX_SCANS` scans.
    """
    if not _is_complete_after_first_scan(image, encoded, position) and _has_too_many_scans(encoded):
        raise UnreadableImageError(f"expected a JPEG with at most {MAX_SCANS} scans, received more")


def _is_complete_after_first_scan(image: JpegImagePlugin.JpegImageFile, encoded: bytes, position: int) -> bool:
    """Return whether the decoder stops after the first scan.

    It does if the first scan has all components completely.
    """
    start = position - 8 - 2 * image.layers
    # For one of several images in a file, Pillow has moved back to the start of the file.
    if "progressive" in image.info or start < 0:
        return False
    return encoded[start : start + 2] == b"\xff\xda" and encoded[start + 4] == image.layers


def _has_too_many_scans(encoded: bytes) -> bool:
    scans = position = 0
    while scans <= MAX_SCANS and (marker := _MARKER.search(encoded, position)):
        kind, position = marker[1][0], marker.end()
        if kind == _END_MARKER:
            break
        scans += kind == _SCAN_MARKER
        position += int.from_bytes(encoded[position : position + 2], "big")
    return scans > MAX_SCANS
