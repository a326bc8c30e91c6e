"""Untrusted files: images with excessive sizes, and mutations of good files."""

import functools
import io
import random
import struct
import zlib
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
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype=np.uint8)
    return Image.fromarray(pixels[..., 0] if channels == 1 else pixels)


def png_chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(width: int, height: int, data: bytes, bits: int = 8) -> bytes:
    """Return a gray PNG of a given size and compressed content, with valid checksums."""
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + png_chunk(b"IDAT", data) + png_chunk(b"IEND", b"")


def whole_png(width: int, height: int) -> bytes:
    """Return a complete black PNG that is compressed to a thousandth of its size."""
    squeeze, row = zlib.compressobj(9), bytes(1 + (width + 7) // 8)
    return png(width, height, b"".join(squeeze.compress(row) for _ in range(height)) + squeeze.flush(), bits=1)


def jpeg_of(width: int, height: int, progressive: bool = False) -> bytes:
    """Return a small JPEG with another size in its frame header."""
    encoded = bytearray(encode(noise(16, 16, 3), "JPEG", progressive=progressive))
    frame = encoded.index(b"\xff\xc2" if progressive else b"\xff\xc0")
    encoded[frame + 5 : frame + 9] = struct.pack(">HH", height, width)
    return bytes(encoded)


def gif_of(width: int, height: int) -> bytes:
    """Return a small GIF with another size of its canvas and of its frame."""
    encoded = bytearray(encode(Image.new("P", (16, 16)), "GIF"))
    frame = encoded.index(b"\x2c")
    encoded[6:10] = encoded[frame + 5 : frame + 9] = struct.pack("<HH", width, height)
    return bytes(encoded)


def bmp_of(width: int, height: int) -> bytes:
    encoded = bytearray(encode(noise(16, 16, 3), "BMP"))
    encoded[18:26] = struct.pack("<ii", width, height)
    return bytes(encoded)


def webp_of(width: int, height: int) -> bytes:
    """Return an animated WebP with another size of its canvas."""
    frames = [noise(16, 16, 3, seed) for seed in range(2)]
    encoded = bytearray(encode(frames[0], "WEBP", save_all=True, append_images=frames[1:]))
    canvas = encoded.index(b"VP8X") + 12
    encoded[canvas : canvas + 6] = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    return bytes(encoded)


def jpeg_with_scans(number: int, progressive: bool) -> bytes:
    """Return a JPEG of 1024 x 1024 pixels whose last scan, of a few bytes, is repeated."""
    encoded = encode(Image.new("L", (1024, 1024), 99), "JPEG", progressive=progressive)
    last = encoded.rindex(b"\xff\xda")
    if not progressive:
        # Each scan has one of three components and no data, which decoders replace by gray.
        encoded = encode(Image.new("RGB", (1024, 1024)), "JPEG")
        last = encoded.rindex(b"\xff\xda")
        return encoded[:last] + number * b"\xff\xda\x00\x08\x01\x01\x00\x00\x3f\x00" + b"\xff\xd9"
    return encoded[:-2] + (number - encoded.count(b"\xff\xda")) * encoded[last:-2] + encoded[-2:]


@functools.cache
def claims() -> dict[str, bytes]:
    """Return images that exceed the limits, or claim a size that does, by file name.

    The first ones do not exceed the limit of Pillow.
    """
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


@functools.cache
def good_images() -> dict[str, bytes]:
    """Return files of every supported format and of many of its variants, by file name."""
    frames = [noise(40, 30, 3, seed) for seed in range(3)]
    animated = {"save_all": True, "append_images": frames[1:]}
    exif = Image.Exif()
    exif[0x0112] = 6
    return {
        "baseline.jpg": encode(noise(40, 30, 3), "JPEG", exif=exif),
        "progressive.jpg": encode(noise(40, 30, 3), "JPEG", progressive=True),
        "cmyk.jpg": encode(noise(40, 30, 4).convert("CMYK"), "JPEG"),
        "gray.jpg": encode(noise(40, 30, 1), "JPEG"),
        "color.png": encode(noise(40, 30, 3), "PNG"),
        "alpha.png": encode(noise(40, 30, 4), "PNG"),
        "palette.png": encode(noise(40, 30, 3).quantize(16), "PNG", transparency=3),
        "deep.png": encode(Image.fromarray(np.arange(1200, dtype=np.uint16).reshape(30, 40) * 50), "PNG"),
        "animated.png": encode(frames[0], "PNG", **animated),
        "still.gif": encode(noise(40, 30, 1), "GIF"),
        "animated.gif": encode(frames[0], "GIF", **animated),
        "color.bmp": encode(noise(40, 30, 3), "BMP"),
        "palette.bmp": encode(noise(40, 30, 1), "BMP"),
        "lossy.webp": encode(noise(40, 30, 3), "WEBP"),
        "lossless.webp": encode(noise(40, 30, 4), "WEBP", lossless=True),
        "animated.webp": encode(frames[0], "WEBP", **animated),
    }


def mutated(good: bytes, other: bytes, chance: random.Random) -> bytes:
    """Return a file with one to three random changes, some of which insert a part of another file."""
    data = bytearray(good)
    for _ in range(chance.randint(1, 3)):
        start, length, place = chance.randint(0, len(data)), chance.randint(1, 64), chance.randrange(64)
        end, part = start + length, data[start : start + length]
        width = chance.choice((2, 4, 8))  # of a number in the header that becomes large, small or negative
        number = chance.choice((0, 1, 2 ** (8 * width) - 1, 2 ** (8 * width - 1), 2 ** (4 * width), 60_000))
        first, last, content = chance.choice(
            (
                (
                    start,
                    start + len(part[:1]),
                    bytes(byte ^ 1 << chance.randrange(8) for byte in part[:1]),
                ),  # flip a bit
                (start, end, chance.choice((bytes(length), b"\xff" * length, chance.randbytes(length)))),  # replace
                (start, start, chance.randbytes(length)),  # insert
                (start, end, b""),  # remove
                (start, start, part * chance.randint(1, 50)),  # repeat
                (start, len(data), b""),  # cut off
                (place, place + width, number.to_bytes(width, chance.choice(("big", "little")))),
                (start, len(data), other[chance.randint(0, len(other)) :]),  # splice
            )
        )
        data[first:last] = content
    return bytes(data)


def write_mutated_images(directory: Path, number: int, seed: int) -> None:
    """Write a number of mutated images in two class directories; each is named after its original file."""
    chance, good = random.Random(seed), good_images()
    for index in range(number):
        name = list(good)[index % len(good)]
        path = directory / CLASS_NAMES[index % 2] / f"{index:04d}_{name}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(mutated(good[name], chance.choice(list(good.values())), chance))


def checksum(data: bytes) -> bytes:
    """Return the checksum of TFRecord files: a CRC-32C that is rotated and shifted."""
    register = 0xFFFFFFFF
    for byte in data:
        register ^= byte
        for _ in range(8):
            register = register >> 1 ^ (0x82F63B78 if register & 1 else 0)
    register ^= 0xFFFFFFFF
    return struct.pack("<I", ((register >> 15 | register << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def framed(record: bytes, length: int | None = None) -> bytes:
    """Return a record in the format of a TFRecord file, with valid checksums."""
    head = struct.pack("<Q", len(record) if length is None else length)
    return head + checksum(head) + record + checksum(record)


def good_records() -> list[bytes]:
    images = [value for name, value in good_images().items() if name in ("gray.jpg", "palette.bmp", "lossy.webp")]
    return [serialize_record(images[index % 3][:3000], index % 2, f"image {index}".encode()) for index in range(6)]


def write_record_files(data_dir: Path, content: bytes, count: int = 6) -> Path:
    """Write a split `train` of one file with given content."""
    directory = data_dir / "train"
    directory.mkdir(parents=True)
    (directory / "a.tfrecord").write_bytes(content)
    counts = (count - count // 2, count // 2)
    TFRecordMetadata("train", 16, 3, CLASS_NAMES, counts, (("a.tfrecord", count),)).write(str(directory))
    return directory / "a.tfrecord"


def write_mutated_records(directory: Path, number: int, seed: int) -> None:
    """Write a number of data sets, in which the file, a record or the length of a record is mutated in turn."""
    chance, records = random.Random(seed), good_records()
    other = good_images()["color.png"]
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
                framed(record, chance.choice(lengths) if n == place else None) for n, record in enumerate(records)
            )
        write_record_files(directory / f"{index:04d}", content)
