"""Scans are counted as the decoder would meet them, and only where it would go on after the first."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
from PIL import Image

from sagan_tf.data.images import jpeg_scans
from sagan_tf.data.images.jpeg_scans import MOST_SCANS, check_scans
from sagan_tf.data.images.limits import UnreadableImageError

SCAN = b"\xff\xda\x00\x08\x01\x01\x00\x00\x3f\x00"


def encode(mode: str = "RGB", **options: object) -> bytes:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 40, 4), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(file, "JPEG", **options)
    return file.getvalue()


def check(encoded: bytes) -> None:
    file = io.BytesIO(encoded)
    with Image.open(file, formats=("JPEG",)) as image:
        check_scans(image, encoded, file.tell())


def refused(encoded: bytes) -> bool:
    try:
        check(encoded)
    except UnreadableImageError as error:
        assert str(error) == f"expected a JPEG of at most {MOST_SCANS} scans, received more"
        return True
    return False


def segment(kind: int, content: bytes) -> bytes:
    return b"\xff" + bytes([kind]) + struct.pack(">H", len(content) + 2) + content


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("restart", [0, 1])
def test_what_encoders_make_is_read(mode: str, progressive: bool, restart: int) -> None:
    check(encode(mode, progressive=progressive, restart_marker_blocks=restart))


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_an_ordinary_jpeg_is_not_searched(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """That would take a tenth of the time of decoding it."""
    monkeypatch.setattr(jpeg_scans, "_has_more_scans", lambda encoded: pytest.fail("searched"))
    check(encode(mode))
    check(encode(mode) + MOST_SCANS * SCAN)  # the decoder has stopped by then


@pytest.mark.parametrize(("more", "expected"), [(0, False), (1, True), (10**6, True)])
def test_the_limit(more: int, expected: bool) -> None:
    encoded = encode(progressive=True)
    there = encoded.count(b"\xff\xda")
    assert refused(encoded[:-2] + (MOST_SCANS - there + more) * SCAN + encoded[-2:]) is expected


def test_one_component_at_a_time_is_no_ordinary_jpeg() -> None:
    encoded = encode()
    first = encoded.index(b"\xff\xda")
    assert not refused(encoded[:first] + MOST_SCANS * SCAN + b"\xff\xd9")
    assert refused(encoded[:first] + (MOST_SCANS + 1) * SCAN + b"\xff\xd9")


def test_what_only_looks_like_scans_is_not_counted() -> None:
    """In other segments, as the thumbnail of a camera, or after the end, as the film that a telephone adds."""
    encoded = encode(progressive=True)
    comment = b"".join(segment(0xFE, 5000 * b"\xff\xda") for _ in range(3))
    assert not refused(encoded[:2] + comment + encoded[2:])
    assert not refused(encoded + 5000 * SCAN)


def test_scans_cannot_hide_behind_what_looks_like_the_end() -> None:
    encoded = encode(progressive=True)
    assert refused(encoded[:-2] + segment(0xFE, b"\xff\xd9") + MOST_SCANS * SCAN + encoded[-2:])


@pytest.mark.parametrize("progressive", [False, True])
def test_several_pictures_in_one_file(progressive: bool) -> None:
    """As stereo cameras write them: only the first is decoded, and Pillow is then at the file's beginning."""
    pictures = [Image.new("RGB", (40, 40), colour) for colour in ("red", "blue")]
    file = io.BytesIO()
    pictures[0].save(file, "MPO", save_all=True, append_images=pictures[1:], progressive=progressive)
    encoded = file.getvalue()
    with Image.open(io.BytesIO(encoded)) as image:
        assert image.format == "MPO"
    check(encoded)
    end = encoded.index(b"\xff\xd9", encoded.index(b"\xff\xda"))
    first = encoded.index(b"\xff\xda") if not progressive else end
    crafted = encoded[:first] + (MOST_SCANS + 1) * SCAN + b"\xff\xd9"
    assert refused(crafted + 20 * b"\xff\xda\x00\x0c\x03")
