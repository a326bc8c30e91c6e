"""Image files with valid and damaged metadata, inserted byte by byte, because Pillow writes no damaged metadata."""

import struct
import zlib
from collections.abc import Callable

from PIL import Image

from tests.faults.untrusted_files import encode, png_chunk

ORIENTATION = 6


def make_exif(orientation: int = ORIENTATION, order: str = "<") -> bytes:
    """Return EXIF data whose first directory has a string, the orientation and a resolution."""
    head = b"II*\0" if order == "<" else b"MM\0*"
    entries = [
        (0x010F, 2, 4, b"abc\0"),
        (0x0112, 3, 1, struct.pack(f"{order}HH", orientation, 0)),
        (0x0128, 3, 1, b"\2"),
    ]
    packed = b"".join(struct.pack(f"{order}HHI4s", *entry) for entry in entries)
    return head + struct.pack(f"{order}IH", 8, len(entries)) + packed + bytes(4)


def make_xmp(orientation: int = ORIENTATION) -> bytes:
    return f'<x:xmpmeta><rdf:Description tiff:Orientation="{orientation}"/></x:xmpmeta>'.encode()


def make_raw_profile(orientation: int = ORIENTATION) -> bytes:
    """Return a PNG text as ImageMagick writes it."""
    data = b"Exif\0\0" + make_exif(orientation)
    return f"\nexif\n      {len(data)}\n{data.hex()}\n".encode()


def make_segment(kind: int, content: bytes) -> bytes:
    return bytes([0xFF, kind]) + struct.pack(">H", len(content) + 2) + content


def make_webp_chunk(kind: bytes, content: bytes) -> bytes:
    return kind + struct.pack("<I", len(content)) + content + bytes(len(content) % 2)


def insert_segments(image: Image.Image, *segments: bytes) -> bytes:
    """Return a JPEG with `segments` after its own first segment."""
    encoded = encode(image, "JPEG", quality=95)
    return encoded[:20] + b"".join(segments) + encoded[20:]


def insert_chunks(image: Image.Image, *chunks: bytes, after: bool = False) -> bytes:
    """Return a PNG with `chunks` before or after its pixels."""
    encoded = encode(image, "PNG")
    place = len(encoded) - 12 if after else 33
    return encoded[:place] + b"".join(chunks) + encoded[place:]


def insert_webp_chunks(image: Image.Image, *chunks: bytes, cut: int = 0) -> bytes:
    """Return an extended WebP with `chunks` after its pixels, without its last `cut` bytes."""
    pixels = encode(image, "WEBP", lossless=True)[12:]
    canvas = b"".join((side - 1).to_bytes(3, "little") for side in image.size)
    content = b"WEBP" + make_webp_chunk(b"VP8X", b"\x2c\0\0\0" + canvas) + pixels + b"".join(chunks)
    content = content[: len(content) - cut]
    return b"RIFF" + struct.pack("<I", len(content)) + content


def insert_extensions(image: Image.Image, *extensions: bytes) -> bytes:
    """Return a GIF with `extensions` before its image."""
    encoded = encode(image.quantize(64), "GIF")
    place = encoded.index(b"\x2c", 13 + 3 * 64)
    return encoded[:place] + b"".join(extensions) + encoded[place:]


PNG_CHUNKS: dict[str, Callable[[], bytes]] = {
    "no TIFF header": lambda: png_chunk(b"eXIf", b"This_is_not_EXIF"),
    "text named exif": lambda: png_chunk(b"tEXt", b"exif\0f/2.8"),
    "text named xmp": lambda: png_chunk(b"tEXt", b"xmp\0none"),
    "raw profile not hexadecimal": lambda: png_chunk(b"tEXt", b"Raw profile type exif\0\nexif\n  10\nno hex"),
    "raw profile of damaged zlib": lambda: png_chunk(b"zTXt", b"Raw profile type exif\0\0no zlib"),
    "long compressed text": lambda: png_chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(2**21))),
    "long international text": lambda: png_chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(bytes(2**21))),
    "unknown compression": lambda: png_chunk(b"zTXt", b"Comment\0\7none"),
    "empty international text": lambda: png_chunk(b"iTXt", b""),
    "unknown color profile": lambda: png_chunk(b"iCCP", b"icc\0\7none"),
    "color profile without content": lambda: png_chunk(b"iCCP", b""),
    "long color profile": lambda: png_chunk(b"iCCP", b"icc\0\0" + zlib.compress(bytes(2**21))),
    "cut off resolution": lambda: png_chunk(b"pHYs", b"12"),
    "cut off gamma": lambda: png_chunk(b"gAMA", b"1"),
    "wrong checksum": lambda: png_chunk(b"tEXt", b"Comment\0none")[:-4] + b"none",
    "animation out of sequence": lambda: png_chunk(b"fcTL", bytes(25) + b"\1"),
    "total of text": lambda: 70 * png_chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(2**20))),
}
JPEG_SEGMENTS: dict[str, Callable[[], bytes]] = {
    "no TIFF header": lambda: make_segment(0xE1, b"Exif\0\0This_is_not_EXIF"),
    "cut off EXIF": lambda: make_segment(0xE1, b"Exif\0\0" + make_exif()[:11]),
    "color profile without number": lambda: make_segment(0xE2, b"ICC_PROFILE\0"),
    "several images without header": lambda: make_segment(0xE2, b"MPF\0II*\0"),
    "several images, damaged": lambda: make_segment(0xE2, b"MPF\0" + make_exif()[:-6]),
    "cut off JFIF": lambda: make_segment(0xE0, b"JFIF\0"),
    "cut off Adobe": lambda: make_segment(0xEE, b"Adobe"),
    "cut off Photoshop": lambda: make_segment(0xED, b"Photoshop 3.0\0008BIM\3\xed"),
    "length of a resource only": lambda: make_segment(0xED, b"Photoshop 3.0\0008BIM\3\xed\0\0\0\0\0\4abcd"),
}
WEBP_CHUNKS: dict[str, Callable[[], bytes]] = {
    "no TIFF header": lambda: make_webp_chunk(b"EXIF", b"This_is_not_EXIF"),
    "cut off EXIF": lambda: make_webp_chunk(b"EXIF", make_exif()[:6]),
    "XMP that is not text": lambda: make_webp_chunk(b"XMP ", b"\xff\0\xff\0"),
    "damaged color profile": lambda: make_webp_chunk(b"ICCP", b"none"),
}
GIF_EXTENSIONS: dict[str, Callable[[], bytes]] = {
    "comment that is not text": lambda: b"!\xfe\4\xff\0\xff\0\0",
    "empty comment": lambda: b"!\xfe\0",
    "empty application": lambda: b"!\xff\0",
    "application without content": lambda: b"!\xff\x0bNETSCAPE2.0\0",
    "text without content": lambda: b"!\x01\0",
}


def make_damaged_files(image: Image.Image) -> dict[str, bytes]:
    """Return files of `image` (a GIF has 64 colors) with damaged metadata, by format and kind of damage."""
    files = {f"PNG, {name}": insert_chunks(image, make()) for name, make in PNG_CHUNKS.items()}
    files |= {f"PNG, {name}, after": insert_chunks(image, make(), after=True) for name, make in PNG_CHUNKS.items()}
    files["PNG, cut off in a text"] = insert_chunks(image, png_chunk(b"tEXt", b"Comment\0none"), after=True)[:-20]
    files |= {f"JPEG, {name}": insert_segments(image, make()) for name, make in JPEG_SEGMENTS.items()}
    files |= {f"WEBP, {name}": insert_webp_chunks(image, make()) for name, make in WEBP_CHUNKS.items()}
    files["WEBP, cut off in EXIF"] = insert_webp_chunks(image, make_webp_chunk(b"EXIF", make_exif()), cut=40)
    files |= {f"GIF, {name}": insert_extensions(image, make()) for name, make in GIF_EXTENSIONS.items()}
    return files
