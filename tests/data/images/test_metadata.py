"""Metadata never decides whether pixels are read; the orientation agrees with Pillow's if Pillow finds one."""

import io
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sagan_tf.data.image_sets import open_square_images
from sagan_tf.data.images import metadata
from sagan_tf.data.images.metadata import split_metadata
from sagan_tf.data.images.preprocessing import decode_image
from tests.data.damaged_metadata import (
    ORIENTATION,
    PNG_CHUNKS,
    insert_chunks,
    insert_extensions,
    insert_segments,
    insert_webp_chunks,
    make_damaged_files,
    make_exif,
    make_raw_profile,
    make_segment,
    make_webp_chunk,
    make_xmp,
)
from tests.faults.untrusted_files import encode, good_images, noise, png_chunk

IMAGE = noise(52, 40, 3)
PLAIN = {
    "PNG": insert_chunks(IMAGE),
    "JPEG": insert_segments(IMAGE),
    "WEBP": insert_webp_chunks(IMAGE),
    "GIF": insert_extensions(IMAGE),
}
DAMAGED = make_damaged_files(IMAGE)


def decode(encoded: bytes) -> np.ndarray:
    return decode_image(encoded, resolution=40, image_channels=3)


@pytest.mark.parametrize("kind", DAMAGED)
def test_damaged_metadata_changes_nothing(kind: str) -> None:
    np.testing.assert_array_equal(decode(DAMAGED[kind]), decode(PLAIN[kind.split(",")[0]]))


EXIF, XMP = b"Exif\0\0", b"http://ns.adobe.com/xap/1.0/\0"
PROFILE = b"Raw profile type exif\0\0" + zlib.compress(make_raw_profile())
ROTATED = {
    "PNG, EXIF": insert_chunks(IMAGE, png_chunk(b"eXIf", make_exif())),
    "PNG, EXIF after the pixels": insert_chunks(IMAGE, png_chunk(b"eXIf", make_exif()), after=True),
    "PNG, raw profile": insert_chunks(IMAGE, png_chunk(b"zTXt", PROFILE)),
    "PNG, XMP": insert_chunks(IMAGE, png_chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + make_xmp())),
    "JPEG, EXIF": insert_segments(IMAGE, make_segment(0xE1, EXIF + make_exif(order=">"))),
    "JPEG, XMP": insert_segments(IMAGE, make_segment(0xE1, XMP + make_xmp())),
    "JPEG, EXIF before XMP": insert_segments(
        IMAGE, make_segment(0xE1, XMP + make_xmp(3)), make_segment(0xE1, EXIF + make_exif())
    ),
    "WEBP, EXIF": insert_webp_chunks(IMAGE, make_webp_chunk(b"EXIF", make_exif())),
    "WEBP, XMP": insert_webp_chunks(IMAGE, make_webp_chunk(b"XMP ", make_xmp())),
}


@pytest.mark.parametrize("kind", ROTATED)
def test_orientation_agrees_with_pillow(kind: str) -> None:
    encoded = ROTATED[kind]
    with Image.open(io.BytesIO(encoded)) as image:
        assert image.getexif()[0x0112] == ORIENTATION
    assert split_metadata(encoded)[1] == ORIENTATION
    np.testing.assert_array_equal(decode(encoded), np.rot90(decode(PLAIN[kind.split(",")[0]]), -1))


@pytest.mark.parametrize("kind", PNG_CHUNKS)
def test_valid_orientation_is_used_despite_damaged_metadata(kind: str) -> None:
    encoded = insert_chunks(IMAGE, png_chunk(b"eXIf", make_exif()), PNG_CHUNKS[kind]())
    np.testing.assert_array_equal(decode(encoded), np.rot90(decode(PLAIN["PNG"]), -1))


STEREO = {"stereo.jpg": encode(IMAGE, "MPO", save_all=True, append_images=[noise(52, 40, 3, seed=1)])}


@pytest.mark.parametrize("name", good_images() | STEREO)
def test_pixels_equal_those_of_the_whole_file(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    encoded = (good_images() | STEREO)[name]
    without = decode(encoded)
    with Image.open(io.BytesIO(encoded)) as image:
        whole = image.getexif().get(0x0112, 1)
    monkeypatch.setattr("sagan_tf.data.images.preprocessing.split_metadata", lambda encoded: (encoded, whole))
    np.testing.assert_array_equal(without, decode(encoded))


def test_a_file_without_metadata_is_not_copied() -> None:
    assert all(split_metadata(encoded)[0] is encoded for kind, encoded in PLAIN.items())


def test_crafted_metadata_needs_little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousand texts that expand to a megabyte each, EXIF entries that share a megabyte, and many empty chunks."""
    text = png_chunk(b"zTXt", b"XML:com.adobe.xmp\0\0" + zlib.compress(bytes(2**21)))
    entries = b"".join(
        (2**20).to_bytes(4, "little").join([tag.to_bytes(2, "little") + b"\7\0", bytes(4)]) for tag in range(2**15)
    )
    exif = b"II*\0\x08\0\0\0\xff\x7f" + entries + bytes(2**20)
    files = [
        insert_chunks(IMAGE, 1000 * text),
        insert_webp_chunks(IMAGE, make_webp_chunk(b"EXIF", exif)),
        insert_chunks(IMAGE, png_chunk(b"eXIf", exif)),
    ]
    tracemalloc.start()
    try:
        for encoded in files:
            np.testing.assert_array_equal(decode(encoded), decode(PLAIN["PNG"]))
        assert tracemalloc.get_traced_memory()[1] < 2**24
    finally:
        tracemalloc.stop()
    monkeypatch.setattr(metadata, "MAX_PARTS", 10)
    many = insert_chunks(IMAGE, 20 * png_chunk(b"teXt", b""))
    assert split_metadata(many) == (many, 1)


@pytest.mark.parametrize("kind", ["PNG, wrong checksum", "JPEG, cut off Adobe", "WEBP, cut off in EXIF"])
def test_square_images_with_damaged_metadata(kind: str, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(make_damaged_files(IMAGE.crop((0, 0, 40, 40)))[kind])
    assert open_square_images(str(tmp_path)).resolution == 40
