"""Metadata never decides whether pixels are read; the orientation is Pillow's wherever Pillow finds one."""

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

from sagan_tf.data.image_sets import open_finished_images
from sagan_tf.data.images import metadata
from sagan_tf.data.images.metadata import split_metadata
from sagan_tf.data.images.preprocessing import decode_image
from tests.data import damaged_metadata as made
from tests.faults.untrusted_files import encode, good_images, mutated, noise, png_chunk

IMAGE = noise(52, 40, 3)
PLAIN = {
    "PNG": made.with_chunks(IMAGE),
    "JPEG": made.with_segments(IMAGE),
    "WEBP": made.with_webp_chunks(IMAGE),
    "GIF": made.with_extensions(IMAGE),
}
DAMAGED = made.damaged(IMAGE)


def decode(encoded: bytes) -> np.ndarray:
    return decode_image(encoded, resolution=40, image_channels=3)


@pytest.mark.parametrize("kind", DAMAGED)
def test_damaged_metadata_changes_nothing(kind: str) -> None:
    np.testing.assert_array_equal(decode(DAMAGED[kind]), decode(PLAIN[kind.split(",")[0]]))


TURNED: dict[str, Callable[[], bytes]] = {
    "PNG, EXIF": lambda: made.with_chunks(IMAGE, png_chunk(b"eXIf", made.exif())),
    "PNG, EXIF behind the pixels": lambda: made.with_chunks(IMAGE, png_chunk(b"eXIf", made.exif()), behind=True),
    "PNG, raw profile": lambda: made.with_chunks(
        IMAGE, png_chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(made.raw_profile()))
    ),
    "PNG, XMP": lambda: made.with_chunks(IMAGE, png_chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + made.xmp())),
    "JPEG, EXIF": lambda: made.with_segments(IMAGE, made.segment(0xE1, b"Exif\0\0" + made.exif(order=">"))),
    "JPEG, XMP": lambda: made.with_segments(IMAGE, made.segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + made.xmp())),
    "JPEG, EXIF before XMP": lambda: made.with_segments(
        IMAGE,
        made.segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + made.xmp(3)),
        made.segment(0xE1, b"Exif\0\0" + made.exif()),
    ),
    "WEBP, EXIF": lambda: made.with_webp_chunks(IMAGE, made.webp_chunk(b"EXIF", made.exif())),
    "WEBP, XMP": lambda: made.with_webp_chunks(IMAGE, made.webp_chunk(b"XMP ", made.xmp())),
}


@pytest.mark.parametrize("kind", TURNED)
def test_the_orientation_is_pillows(kind: str) -> None:
    encoded = TURNED[kind]()
    with Image.open(io.BytesIO(encoded)) as image:
        assert image.getexif()[0x0112] == made.ORIENTATION
    assert split_metadata(encoded)[1] == made.ORIENTATION
    np.testing.assert_array_equal(decode(encoded), np.rot90(decode(PLAIN[kind.split(",")[0]]), -1))


@pytest.mark.parametrize("kind", made.PNG_CHUNKS)
def test_a_valid_orientation_counts_beside_damaged_metadata(kind: str) -> None:
    encoded = made.with_chunks(IMAGE, png_chunk(b"eXIf", made.exif()), made.PNG_CHUNKS[kind]())
    np.testing.assert_array_equal(decode(encoded), np.rot90(decode(PLAIN["PNG"]), -1))


STEREO = {"stereo.jpg": encode(IMAGE, "MPO", save_all=True, append_images=[noise(52, 40, 3, seed=1)])}


@pytest.mark.parametrize("name", good_images() | STEREO)
def test_pixels_are_those_of_the_whole_file(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    encoded = (good_images() | STEREO)[name]
    without = decode(encoded)
    with Image.open(io.BytesIO(encoded)) as image:
        whole = image.getexif().get(0x0112, 1)
    monkeypatch.setattr("sagan_tf.data.images.preprocessing.split_metadata", lambda encoded: (encoded, whole))
    np.testing.assert_array_equal(without, decode(encoded))


def test_a_file_without_metadata_is_not_copied() -> None:
    assert all(split_metadata(encoded)[0] is encoded for kind, encoded in PLAIN.items())


def test_any_bytes_are_taken() -> None:
    """Cut off anywhere, or changed at random: whether they are an image is left to the decoder."""
    chance = random.Random(0)
    for encoded in [*good_images().values(), *DAMAGED.values()]:
        for _ in range(20):
            for damaged in (mutated(encoded, IMAGE.tobytes(), chance), encoded[: chance.randrange(60)]):
                assert len(split_metadata(damaged)[0]) <= len(damaged)


def test_crafted_metadata_takes_little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousand texts that expand to a megabyte each, EXIF entries that share one, and millions of empty chunks."""
    text = png_chunk(b"zTXt", b"XML:com.adobe.xmp\0\0" + zlib.compress(bytes(2**21)))
    entries = b"".join(
        (2**20).to_bytes(4, "little").join([tag.to_bytes(2, "little") + b"\7\0", bytes(4)]) for tag in range(2**15)
    )
    exif = b"II*\0\x08\0\0\0\xff\x7f" + entries + bytes(2**20)
    files = [
        made.with_chunks(IMAGE, 1000 * text),
        made.with_webp_chunks(IMAGE, made.webp_chunk(b"EXIF", exif)),
        made.with_chunks(IMAGE, png_chunk(b"eXIf", exif)),
    ]
    tracemalloc.start()
    try:
        for encoded in files:
            np.testing.assert_array_equal(decode(encoded), decode(PLAIN["PNG"]))
        assert tracemalloc.get_traced_memory()[1] < 2**24
    finally:
        tracemalloc.stop()
    monkeypatch.setattr(metadata, "MAX_PARTS", 10)
    many = made.with_chunks(IMAGE, 20 * png_chunk(b"teXt", b""))
    assert split_metadata(many) == (many, 1)


@pytest.mark.parametrize("kind", ["PNG, wrong checksum", "JPEG, cut off Adobe", "WEBP, cut off in EXIF"])
def test_finished_images_with_damaged_metadata(kind: str, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(made.damaged(IMAGE.crop((0, 0, 40, 40)))[kind])
    assert open_finished_images(str(tmp_path)).resolution == 40
