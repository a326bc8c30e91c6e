"""Metadata never decides whether pixels are read; the orientation agrees with Pillow's if Pillow finds one."""

from __future__ import annotations

import io
import random
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sagan_tf.data.image_sets import open_square_images
from sagan_tf.data.images import metadata
from sagan_tf.data.images.metadata import split_metadata
from sagan_tf.data.images.preprocessing import decode_image
from tests.data import damaged_metadata
from tests.faults.untrusted_files import encode, good_images, mutated, noise, png_chunk

IMAGE = noise(52, 40, 3)
PLAIN = {
    "PNG": damaged_metadata.insert_chunks(IMAGE),
    "JPEG": damaged_metadata.insert_segments(IMAGE),
    "WEBP": damaged_metadata.insert_webp_chunks(IMAGE),
    "GIF": damaged_metadata.insert_extensions(IMAGE),
}
DAMAGED = damaged_metadata.make_damaged_files(IMAGE)


def decode(encoded: bytes) -> np.ndarray:
    return decode_image(encoded, resolution=40, image_channels=3)


@pytest.mark.parametrize("kind", DAMAGED)
def test_damaged_metadata_changes_nothing(kind: str) -> None:
    np.testing.assert_array_equal(decode(DAMAGED[kind]), decode(PLAIN[kind.split(",")[0]]))


ROTATED: dict[str, Callable[[], bytes]] = {
    "PNG, EXIF": lambda: damaged_metadata.insert_chunks(IMAGE, png_chunk(b"eXIf", damaged_metadata.make_exif())),
    "PNG, EXIF after the pixels": lambda: damaged_metadata.insert_chunks(
        IMAGE, png_chunk(b"eXIf", damaged_metadata.make_exif()), after=True
    ),
    "PNG, raw profile": lambda: damaged_metadata.insert_chunks(
        IMAGE, png_chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(damaged_metadata.make_raw_profile()))
    ),
    "PNG, XMP": lambda: damaged_metadata.insert_chunks(
        IMAGE, png_chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + damaged_metadata.make_xmp())
    ),
    "JPEG, EXIF": lambda: damaged_metadata.insert_segments(
        IMAGE, damaged_metadata.make_segment(0xE1, b"Exif\0\0" + damaged_metadata.make_exif(order=">"))
    ),
    "JPEG, XMP": lambda: damaged_metadata.insert_segments(
        IMAGE, damaged_metadata.make_segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + damaged_metadata.make_xmp())
    ),
    "JPEG, EXIF before XMP": lambda: damaged_metadata.insert_segments(
        IMAGE,
        damaged_metadata.make_segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + damaged_metadata.make_xmp(3)),
        damaged_metadata.make_segment(0xE1, b"Exif\0\0" + damaged_metadata.make_exif()),
    ),
    "WEBP, EXIF": lambda: damaged_metadata.insert_webp_chunks(
        IMAGE, damaged_metadata.make_webp_chunk(b"EXIF", damaged_metadata.make_exif())
    ),
    "WEBP, XMP": lambda: damaged_metadata.insert_webp_chunks(
        IMAGE, damaged_metadata.make_webp_chunk(b"XMP ", damaged_metadata.make_xmp())
    ),
}


@pytest.mark.parametrize("kind", ROTATED)
def test_orientation_agrees_with_pillow(kind: str) -> None:
    encoded = ROTATED[kind]()
    with Image.open(io.BytesIO(encoded)) as image:
        assert image.getexif()[0x0112] == damaged_metadata.ORIENTATION
    assert split_metadata(encoded)[1] == damaged_metadata.ORIENTATION
    np.testing.assert_array_equal(decode(encoded), np.rot90(decode(PLAIN[kind.split(",")[0]]), -1))


@pytest.mark.parametrize("kind", damaged_metadata.PNG_CHUNKS)
def test_valid_orientation_is_used_despite_damaged_metadata(kind: str) -> None:
    encoded = damaged_metadata.insert_chunks(
        IMAGE, png_chunk(b"eXIf", damaged_metadata.make_exif()), damaged_metadata.PNG_CHUNKS[kind]()
    )
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


def test_random_changes_never_raise_an_exception() -> None:
    """The bytes are truncated anywhere or changed at random. The decoder decides whether they are an image."""
    generator = random.Random(0)
    for encoded in [*good_images().values(), *DAMAGED.values()]:
        for _ in range(20):
            for damaged in (mutated(encoded, IMAGE.tobytes(), generator), encoded[: generator.randrange(60)]):
                assert len(split_metadata(damaged)[0]) <= len(damaged)


def test_crafted_metadata_needs_little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousand texts that expand to a megabyte each, EXIF entries that share a megabyte, and many empty chunks."""
    text = png_chunk(b"zTXt", b"XML:com.adobe.xmp\0\0" + zlib.compress(bytes(2**21)))
    entries = b"".join(
        (2**20).to_bytes(4, "little").join([tag.to_bytes(2, "little") + b"\7\0", bytes(4)]) for tag in range(2**15)
    )
    exif = b"II*\0\x08\0\0\0\xff\x7f" + entries + bytes(2**20)
    files = [
        damaged_metadata.insert_chunks(IMAGE, 1000 * text),
        damaged_metadata.insert_webp_chunks(IMAGE, damaged_metadata.make_webp_chunk(b"EXIF", exif)),
        damaged_metadata.insert_chunks(IMAGE, png_chunk(b"eXIf", exif)),
    ]
    tracemalloc.start()
    try:
        for encoded in files:
            np.testing.assert_array_equal(decode(encoded), decode(PLAIN["PNG"]))
        assert tracemalloc.get_traced_memory()[1] < 2**24
    finally:
        tracemalloc.stop()
    monkeypatch.setattr(metadata, "MAX_PARTS", 10)
    many = damaged_metadata.insert_chunks(IMAGE, 20 * png_chunk(b"teXt", b""))
    assert split_metadata(many) == (many, 1)


@pytest.mark.parametrize("kind", ["PNG, wrong checksum", "JPEG, cut off Adobe", "WEBP, cut off in EXIF"])
def test_square_images_with_damaged_metadata(kind: str, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(damaged_metadata.make_damaged_files(IMAGE.crop((0, 0, 40, 40)))[kind])
    assert open_square_images(str(tmp_path)).resolution == 40
