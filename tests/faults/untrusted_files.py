"""Files that nobody should trust: images that claim too much, and a mutator of good files."""

from __future__ import annotations

import functools
import io
import random
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from sagan_tf.data.sources.tfrecord import TFRecordMetadata, serialize_record

CLASS_NAMES = ("cat", "dog")


def encode(image: Image.Image, image_format: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, image_format, **options)
    return file.getvalue()


def noise(width: int, height: int, channels: int, seed: int = 0) -> Image.Image:
    """A picture of which no two parts are alike."""
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype=np.uint8)
    return Image.fromarray(pixels[..., 0] if channels == 1 else pixels)


# Images that claim too much.


def png_chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(width: int, height: int, data: bytes, bits: int = 8) -> bytes:
    """A grey PNG of that size, with checksums that are right; `data` is its compressed content."""
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + png_chunk(b"IDAT", data) + png_chunk(b"IEND", b"")


def whole_png(width: int, height: int) -> bytes:
    """A black and white PNG with every row that it claims, in a thousandth of the bytes."""
    squeeze, row = zlib.compressobj(9), bytes(1 + (width + 7) // 8)
    return png(width, height, b"".join(squeeze.compress(row) for _ in range(height)) + squeeze.flush(), bits=1)


def jpeg_of(width: int, height: int, progressive: bool = False) -> bytes:
    """A small JPEG that says in its frame header that it is of another size."""
    encoded = bytearray(encode(noise(16, 16, 3), "JPEG", progressive=progressive))
    frame = encoded.index(b"\xff\xc2" if progressive else b"\xff\xc0")
    encoded[frame + 5 : frame + 9] = struct.pack(">HH", height, width)
    return bytes(encoded)


def gif_of(width: int, height: int) -> bytes:
    """A GIF with a small picture on a canvas, and under a frame, of another size."""
    encoded = bytearray(encode(Image.new("P", (16, 16)), "GIF"))
    frame = encoded.index(b"\x2c")
    encoded[6:10] = encoded[frame + 5 : frame + 9] = struct.pack("<HH", width, height)
    return bytes(encoded)


def bmp_of(width: int, height: int) -> bytes:
    encoded = bytearray(encode(noise(16, 16, 3), "BMP"))
    encoded[18:26] = struct.pack("<ii", width, height)
    return bytes(encoded)


def webp_of(width: int, height: int) -> bytes:
    """An animated WebP on a canvas of another size."""
    frames = [noise(16, 16, 3, seed) for seed in range(2)]
    encoded = bytearray(encode(frames[0], "WEBP", save_all=True, append_images=frames[1:]))
    canvas = encoded.index(b"VP8X") + 12
    encoded[canvas : canvas + 6] = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    return bytes(encoded)


def jpeg_with_scans(number: int, progressive: bool) -> bytes:
    """A JPEG of 1024 x 1024 pixels whose last scan, of a few bytes, is there again and again."""
    encoded = encode(Image.new("L", (1024, 1024), 99), "JPEG", progressive=progressive)
    last = encoded.rindex(b"\xff\xda")
    if not progressive:
        # One component of three at a time, and no data: decoders fill up with grey.
        encoded = encode(Image.new("RGB", (1024, 1024)), "JPEG")
        last = encoded.rindex(b"\xff\xda")
        return encoded[:last] + number * b"\xff\xda\x00\x08\x01\x01\x00\x00\x3f\x00" + b"\xff\xd9"
    return encoded[:-2] + (number - encoded.count(b"\xff\xda")) * encoded[last:-2] + encoded[-2:]


@functools.cache
def claims() -> dict[str, bytes]:
    """By file name: images that are larger than any may be, or claim it. The first are not too large for Pillow."""
    return {
        "warned_of.png": whole_png(10_000, 10_000),
        "warned_of.jpg": jpeg_of(12_000, 12_000),
        "warned_of.gif": gif_of(12_000, 12_000),
        "warned_of.webp": webp_of(12_000, 12_000),
        "a_row.png": png(200_000, 1, zlib.compress(bytes(200_001))),
        "header.png": png(60_000, 60_000, zlib.compress(bytes(1000))),
        "whole.png": whole_png(30_000, 30_000),
        "most.png": png(2**31 - 1, 2**31 - 1, b""),
        "header.jpg": jpeg_of(65_500, 65_500),
        "spectral.jpg": jpeg_of(65_500, 65_500, progressive=True),
        "header.gif": gif_of(65_535, 65_535),
        "header.bmp": bmp_of(60_000, 60_000),
        "most.bmp": bmp_of(2**31 - 1, 2**31 - 1),
        "header.webp": webp_of(16_384, 16_384),
        "most.webp": webp_of(65_535, 65_535),
        "scans.jpg": jpeg_with_scans(20_000, progressive=False),
        "progressive_scans.jpg": jpeg_with_scans(20_000, progressive=True),
    }


# Good files, and what becomes of them.


@functools.cache
def good_images() -> dict[str, bytes]:
    """By name: files of every format that is read, of many of its kinds."""
    frames = [noise(40, 30, 3, seed) for seed in range(3)]
    animated = {"save_all": True, "append_images": frames[1:]}
    exif = Image.Exif()
    exif[0x0112] = 6
    return {
        "baseline.jpg": encode(noise(40, 30, 3), "JPEG", exif=exif),
        "progressive.jpg": encode(noise(40, 30, 3), "JPEG", progressive=True),
        "cmyk.jpg": encode(noise(40, 30, 4).convert("CMYK"), "JPEG"),
        "grey.jpg": encode(noise(40, 30, 1), "JPEG"),
        "colour.png": encode(noise(40, 30, 3), "PNG"),
        "alpha.png": encode(noise(40, 30, 4), "PNG"),
        "palette.png": encode(noise(40, 30, 3).quantize(16), "PNG", transparency=3),
        "deep.png": encode(Image.fromarray(np.arange(1200, dtype=np.uint16).reshape(30, 40) * 50), "PNG"),
        "animated.png": encode(frames[0], "PNG", **animated),
        "still.gif": encode(noise(40, 30, 1), "GIF"),
        "animated.gif": encode(frames[0], "GIF", **animated),
        "colour.bmp": encode(noise(40, 30, 3), "BMP"),
        "palette.bmp": encode(noise(40, 30, 1), "BMP"),
        "lossy.webp": encode(noise(40, 30, 3), "WEBP"),
        "lossless.webp": encode(noise(40, 30, 4), "WEBP", lossless=True),
        "animated.webp": encode(frames[0], "WEBP", **animated),
    }


def mutated(good: bytes, other: bytes, chance: random.Random) -> bytes:
    """A good file with one to three changes; some take a part of another one."""
    data = bytearray(good)
    for _ in range(chance.randint(1, 3)):
        chance.choice(_CHANGES)(data, other, chance)
    return bytes(data)


def _flip_bits(data: bytearray, other: bytes, chance: random.Random) -> None:
    for _ in range(chance.randint(1, 8) if data else 0):
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)


def _replace_run(data: bytearray, other: bytes, chance: random.Random) -> None:
    start, length = _run(data, chance)
    data[start : start + length] = chance.choice((bytes, lambda n: b"\xff" * n, chance.randbytes))(length)


def _insert_run(data: bytearray, other: bytes, chance: random.Random) -> None:
    start, length = _run(data, chance)
    data[start:start] = chance.randbytes(length)


def _remove_run(data: bytearray, other: bytes, chance: random.Random) -> None:
    start, length = _run(data, chance)
    del data[start : start + length]


def _repeat_run(data: bytearray, other: bytes, chance: random.Random) -> None:
    start, length = _run(data, chance)
    data[start:start] = data[start : start + length] * chance.randint(1, 50)


def _cut_off(data: bytearray, other: bytes, chance: random.Random) -> None:
    del data[chance.randint(0, len(data)) :]


def _edit_header(data: bytearray, other: bytes, chance: random.Random) -> None:
    """A number of 2, 4 or 8 bytes at the beginning becomes a large, small or negative one."""
    width = chance.choice((2, 4, 8))
    value = chance.choice((0, 1, 2 ** (8 * width) - 1, 2 ** (8 * width - 1), 2 ** (4 * width), 60_000))
    start = chance.randrange(64)
    data[start : start + width] = value.to_bytes(width, chance.choice(("big", "little")))


def _splice(data: bytearray, other: bytes, chance: random.Random) -> None:
    data[chance.randint(0, len(data)) :] = other[chance.randint(0, len(other)) :]


def _run(data: bytearray, chance: random.Random) -> tuple[int, int]:
    return chance.randint(0, len(data)), chance.randint(1, 64)


_CHANGES: tuple[Callable[[bytearray, bytes, random.Random], None], ...] = (
    _flip_bits,
    _replace_run,
    _insert_run,
    _remove_run,
    _repeat_run,
    _cut_off,
    _edit_header,
    _splice,
)


def write_mutated_images(folder: Path, number: int, seed: int) -> None:
    """That many mutated images in two class folders, in a few of them none of the changes visible in the name."""
    chance, good = random.Random(seed), good_images()
    for index in range(number):
        name = list(good)[index % len(good)]
        path = folder / CLASS_NAMES[index % 2] / f"{index:04d}_{name}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(mutated(good[name], chance.choice(list(good.values())), chance))


# Record files.


def checksum(data: bytes) -> bytes:
    """TFRecord's: CRC-32C, bit by bit, turned and shifted."""
    register = 0xFFFFFFFF
    for byte in data:
        register ^= byte
        for _ in range(8):
            register = register >> 1 ^ (0x82F63B78 if register & 1 else 0)
    register ^= 0xFFFFFFFF
    return struct.pack("<I", ((register >> 15 | register << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def framed(record: bytes, length: int | None = None) -> bytes:
    """A record as it stands in a file, with checksums that are right whatever length it claims."""
    head = struct.pack("<Q", len(record) if length is None else length)
    return head + checksum(head) + record + checksum(record)


def good_records() -> list[bytes]:
    """Six records of small images of two classes."""
    images = [value for name, value in good_images().items() if name in ("grey.jpg", "palette.bmp", "lossy.webp")]
    return [serialize_record(images[index % 3][:3000], index % 2, f"image {index}".encode()) for index in range(6)]


def write_record_files(data_dir: Path, content: bytes, count: int = 6) -> Path:
    """A split `train` that is said to hold `count` records, in one file of that content."""
    folder = data_dir / "train"
    folder.mkdir(parents=True)
    (folder / "a.tfrecord").write_bytes(content)
    counts = (count - count // 2, count // 2)
    TFRecordMetadata("train", 16, 3, CLASS_NAMES, counts, (("a.tfrecord", count),)).write(str(folder))
    return folder / "a.tfrecord"


def write_mutated_records(folder: Path, number: int, seed: int) -> None:
    """That many data sets: of a third the file is changed, of a third a record in it, of a third a record's length."""
    chance, records = random.Random(seed), good_records()
    other = good_images()["colour.png"]
    for index in range(number):
        changed = list(records)
        place = chance.randrange(6)
        if index % 3 == 0:
            content = mutated(b"".join(map(framed, records)), other, chance)
        elif index % 3 == 1:
            changed[place] = mutated(changed[place], other, chance)
            content = b"".join(map(framed, changed))
        else:
            lengths = (0, 1, 2**20, 2**31, 2**32 + 5, 2**40, 2**62, 2**63, 2**64 - 1, chance.randrange(2**64))
            content = b"".join(
                framed(one, chance.choice(lengths) if n == place else None) for n, one in enumerate(records)
            )
        write_record_files(folder / f"{index:04d}", content)
