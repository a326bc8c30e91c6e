"""Scans are counted as the decoder would find them, and only if it would continue after the first."""

import io

import numpy as np
import pytest
from PIL import Image

from sagan_tf.data.images.jpeg_scans import MAX_SCANS, check_scans
from sagan_tf.data.images.limits import UnreadableImageError
from tests.data.damaged_metadata import make_segment

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


def is_rejected(encoded: bytes) -> bool:
    try:
        check(encoded)
    except UnreadableImageError:
        return True
    return False


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("restart", [0, 1])
def test_accepts_images_from_encoders(mode: str, progressive: bool, restart: int) -> None:
    check(encode(mode, progressive=progressive, restart_marker_blocks=restart))


@pytest.mark.parametrize(("more", "expected"), [(0, False), (1, True), (10**6, True)])
def test_limit_is_exact(more: int, expected: bool) -> None:
    encoded = encode(progressive=True)
    count = encoded.count(b"\xff\xda")
    assert is_rejected(encoded[:-2] + (MAX_SCANS - count + more) * SCAN + encoded[-2:]) is expected


def test_scans_of_single_components_are_counted() -> None:
    encoded = encode()
    first = encoded.index(b"\xff\xda")
    assert not is_rejected(encoded[:first] + MAX_SCANS * SCAN + b"\xff\xd9")
    assert is_rejected(encoded[:first] + (MAX_SCANS + 1) * SCAN + b"\xff\xd9")


def test_scan_markers_outside_scans_are_not_counted() -> None:
    """Markers in other segments, such as a camera's thumbnail, or after the end, such as a telephone's video."""
    encoded = encode(progressive=True)
    comment = b"".join(make_segment(0xFE, 5000 * b"\xff\xda") for _ in range(3))
    assert not is_rejected(encoded[:2] + comment + encoded[2:])
    assert not is_rejected(encoded + 5000 * SCAN)


def test_scans_after_an_end_marker_in_a_comment_are_counted() -> None:
    encoded = encode(progressive=True)
    assert is_rejected(encoded[:-2] + make_segment(0xFE, b"\xff\xd9") + MAX_SCANS * SCAN + encoded[-2:])


@pytest.mark.parametrize("progressive", [False, True])
def test_several_images_in_one_file(progressive: bool) -> None:
    """Stereo cameras write these files. Only the first is decoded, and Pillow then is at the beginning of the file."""
    images = [Image.new("RGB", (40, 40), color) for color in ("red", "blue")]
    file = io.BytesIO()
    images[0].save(file, "MPO", save_all=True, append_images=images[1:], progressive=progressive)
    encoded = file.getvalue()
    with Image.open(io.BytesIO(encoded)) as image:
        assert image.format == "MPO"
    check(encoded)
    end = encoded.index(b"\xff\xd9", encoded.index(b"\xff\xda"))
    first = encoded.index(b"\xff\xda") if not progressive else end
    crafted = encoded[:first] + (MAX_SCANS + 1) * SCAN + b"\xff\xd9"
    assert is_rejected(crafted + 20 * b"\xff\xda\x00\x0c\x03")
