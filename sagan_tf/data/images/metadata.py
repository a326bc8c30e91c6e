"""Separation of an image file's pixels from its metadata. Imports no TensorFlow.

Pillow refuses an image for damaged metadata (a text chunk named `exif`, an EXIF chunk that is cut off, a text that is
too long), although the pixels are intact. Pillow therefore receives files without any metadata, and the one value that
decoding needs, the orientation, is read here, where damaged metadata counts as absent.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import re
import zlib
from collections.abc import Callable, Iterator
from typing import Literal, NamedTuple

MAX_PARTS = 2**16
"""Maximum number of parts of a file that are examined. A PNG of 67 million pixels in the usual chunks of 8 KiB has half
as many. A file of millions of empty chunks would take a minute and gigabytes."""
MAX_METADATA_BYTES = 2**20
"""Decompressed bytes of one piece of metadata that are searched for an orientation: Pillow's limit for text."""
MAX_METADATA_PIECES = 16
"""Pieces of EXIF data, and of XMP, that are searched: a kilobyte of compressed text expands to a megabyte."""

_ORIENTATION_TAG = 0x0112
_INTEGER_BYTES = {3: 2, 4: 4}
"""Size in bytes of the two integer types that orientations use in practice, by the type's number in TIFF."""
_XMP_ORIENTATION = re.compile(rb'tiff:Orientation(?:="|>)([0-9])')

_JPEG_START = b"\xff\xd8"
_JPEG_MARKER = re.compile(rb"\xff[\x01-\xfe]")
# From the first frame marker on, except for restarts (D0 to D7), start and end of image and start of scan (D8 to DA).
_JPEG_SEGMENTS = {*range(0xC0, 0xD0), *range(0xDB, 0xFF)}
_JPEG_METADATA = {*range(0xE0, 0xF0), 0xFE}
"""Application segments and comments."""
_JPEG_COLOR = {0xE0: (b"JFIF\0", 14), 0xEE: (b"Adobe", 12)}
"""Prefix and minimum length of the application segments from which libjpeg reads the color space: not metadata."""
_EXIF_PREFIX, _XMP_PREFIX = b"Exif\0\0", b"http://ns.adobe.com/xap/1.0/\0"

_PNG_START = b"\x89PNG\r\n\x1a\n"
_PNG_TEXTS = (b"tEXt", b"zTXt", b"iTXt")
_PNG_EXIF_KEY, _PNG_XMP_KEY = b"Raw profile type exif\0", b"XML:com.adobe.xmp\0"
_WEBP_PIXELS = (b"VP8X", b"VP8 ", b"VP8L", b"ALPH", b"ANIM", b"ANMF")
_GIF_STARTS = (b"GIF87a", b"GIF89a")

_Holds = Literal["", "exif", "xmp"]


class _Part(NamedTuple):
    """A part of an image file.

    Attributes:
        start: Offset of its first byte in the file.
        end: Declared offset of the byte after it, which may lie beyond the end of a truncated file.
        is_metadata: Whether the pixels do not depend on the part.
        holds: The kind of metadata in the part that may have the orientation; empty for a part without it.
        content: Returns the EXIF data or the XMP packet in the part.
    """

    start: int
    end: int
    is_metadata: bool
    holds: _Holds = ""
    content: Callable[[], bytes] = bytes


def split_metadata(encoded: bytes) -> tuple[bytes, int]:
    """Separate an image file from its metadata.

    Args:
        encoded: The content of an image file. Everything after damage to the file's structure is returned unchanged,
            and so are files with more than `MAX_PARTS` parts and of formats other than JPEG, PNG, WebP and GIF.

    Returns:
        The file without metadata (EXIF, XMP, color profile, text, comments), and the number of the orientation from its
        EXIF data, or else from its XMP packet; 1 (upright) without an orientation.
    """
    parts = list(itertools.islice(_iterate_parts(encoded), MAX_PARTS + 1))
    removed = [part for part in parts if part.is_metadata]
    if not removed or len(parts) > MAX_PARTS:
        return encoded, 1
    starts = [0, *(part.end for part in removed)]
    ends = [*(part.start for part in removed), len(encoded)]
    kept = [memoryview(encoded)[start:end] for start, end in zip(starts, ends, strict=True)]
    if encoded.startswith(b"RIFF"):  # The header holds the length of the data after it.
        length = len(b"WEBP") + sum(part.end - part.start for part in parts if not part.is_metadata)
        kept[:1] = [memoryview(b"RIFF" + length.to_bytes(8, "little")[:4]), kept[0][8:]]
    return b"".join(kept), _find_orientation(removed)


def _find_orientation(parts: list[_Part]) -> int:
    for holds, read in (("exif", _read_exif_orientation), ("xmp", _read_xmp_orientation)):
        for part in itertools.islice((part for part in parts if part.holds == holds), MAX_METADATA_PIECES):
            if (orientation := read(part.content())) is not None:
                return orientation
    return 1


def _iterate_parts(encoded: bytes) -> Iterator[_Part]:
    if encoded.startswith(_PNG_START):
        return _iterate_png_chunks(encoded)
    if encoded.startswith(_JPEG_START):
        return _iterate_jpeg_segments(encoded)
    if encoded.startswith(b"RIFF") and encoded[8:12] == b"WEBP":
        return _iterate_webp_chunks(encoded)
    return _iterate_gif_extensions(encoded) if encoded.startswith(_GIF_STARTS) else iter(())


def _iterate_jpeg_segments(encoded: bytes) -> Iterator[_Part]:
    """Yield the metadata before the first scan of a JPEG.

    Bytes between segments are skipped, as libjpeg does.
    """
    # Index byte by byte: a search for each marker takes three times as long, 5 % of decoding a small image.
    position, last = len(_JPEG_START), len(encoded) - 4
    while position <= last:
        kind = encoded[position + 1]
        if encoded[position] != 0xFF or kind in (0x00, 0xFF):
            marker = _JPEG_MARKER.search(encoded, position)
            position = marker.start() if marker else len(encoded)
            continue
        if kind not in _JPEG_SEGMENTS:
            return
        start = position
        position = start + 2 + max(encoded[start + 2] << 8 | encoded[start + 3], 2)
        if kind in _JPEG_METADATA and not _is_color(kind, content := encoded[start + 4 : position]):
            holds: _Holds = "exif" if content.startswith(_EXIF_PREFIX) else ""
            holds = "xmp" if content.startswith(_XMP_PREFIX) else holds
            yield _Part(start, position, True, holds, functools.partial(bytes, content))


def _is_color(kind: int, content: bytes) -> bool:
    """Return whether libjpeg reads the color space from an application segment."""
    prefix, min_bytes = _JPEG_COLOR.get(kind, (b"", 0))
    return bool(prefix) and len(content) >= min_bytes and content.startswith(prefix)


def _iterate_png_chunks(encoded: bytes) -> Iterator[_Part]:
    """Yield the chunks of a PNG.

    Metadata are the chunks that a decoder may ignore (lower-case first letter), except transparency.
    """
    position, kind = len(_PNG_START), b""
    while kind != b"IEND" and len(kind := encoded[position + 4 : position + 8]) == 4 and kind.isalpha():
        start, content = position, position + 8
        position = content + _parse_integer(encoded[start : start + 4], "big") + 4
        if kind[:1].isupper() or kind == b"tRNS":
            yield _Part(start, position, is_metadata=False)
            continue
        holds: _Holds = "exif" if kind == b"eXIf" else ""
        read = _make_content_reader(encoded, content, position - 4)
        if kind in _PNG_TEXTS and encoded.startswith((_PNG_EXIF_KEY, _PNG_XMP_KEY), content):
            holds = "exif" if encoded.startswith(_PNG_EXIF_KEY, content) else "xmp"
            read = functools.partial(_read_png_text, kind, read)
        yield _Part(start, position, True, holds, read)


def _read_png_text(kind: bytes, read: Callable[[], bytes]) -> bytes:
    """Return the EXIF data or the XMP packet of a text chunk.

    The result is empty if the chunk is damaged.
    """
    key, _, text = read().partition(b"\0")
    is_compressed = kind == b"zTXt" or (kind == b"iTXt" and text[:1] == b"\1")
    # Skip the compression method; iTXt also has a flag before it and two terminated strings after it.
    if kind != b"tEXt":
        text = text[1:] if kind == b"zTXt" else text[2:].split(b"\0", 2)[-1]
    with contextlib.suppress(ValueError, zlib.error):
        text = zlib.decompressobj().decompress(text, MAX_METADATA_BYTES) if is_compressed else text
        if key + b"\0" == _PNG_XMP_KEY:
            return text
        return bytes.fromhex(b"".join(text.split(b"\n")[3:]).decode("latin-1"))  # skip a name and a length
    return b""


def _iterate_webp_chunks(encoded: bytes) -> Iterator[_Part]:
    position = len(b"RIFF....WEBP")
    while len(header := encoded[position : position + 8]) == 8:
        kind, content, size = header[:4], position + 8, _parse_integer(header[4:], "little")
        start, position = position, content + size + size % 2
        holds: _Holds = "exif" if kind == b"EXIF" else "xmp" if kind == b"XMP " else ""
        yield _Part(
            start, position, kind not in _WEBP_PIXELS, holds, _make_content_reader(encoded, content, content + size)
        )


def _iterate_gif_extensions(encoded: bytes) -> Iterator[_Part]:
    """Yield the metadata before the first image of a GIF.

    Metadata are all extensions except the one with the transparent color.
    """
    flags = _parse_integer(encoded[10:11], "big")
    position = 13 + (3 << (flags & 7) + 1 if flags & 0x80 else 0)
    while encoded[position : position + 1] == b"!":
        start, position = position, position + 2
        while size := _parse_integer(encoded[position : position + 1], "big"):
            position += 1 + size
        position += 1
        if encoded[start + 1 : start + 2] != b"\xf9":
            yield _Part(start, position, is_metadata=True)


def _make_content_reader(encoded: bytes, start: int, end: int) -> Callable[[], bytes]:
    """Return a function that copies up to `MAX_METADATA_BYTES` of metadata."""
    return lambda: encoded[start : min(end, start + MAX_METADATA_BYTES)]


def _read_exif_orientation(exif: bytes) -> int | None:
    """Return the orientation from the first directory of EXIF data, or None.

    Pillow is not used, because it copies every entry: 65,535 entries that share one megabyte would fill the memory.
    """
    exif = exif.removeprefix(_EXIF_PREFIX).removeprefix(_EXIF_PREFIX)
    if exif[:2] not in (b"II", b"MM") or exif[2:4] not in (b"*\0", b"\0*"):
        return None
    order: Literal["little", "big"] = "little" if exif.startswith(b"II") else "big"
    first = _parse_integer(exif[4:8], order) + 2
    for start in range(first, first + 12 * _parse_integer(exif[first - 2 : first], order), 12):
        entry = exif[start : start + 12]
        tag, kind, count = (_parse_integer(part, order) for part in (entry[:2], entry[2:4], entry[4:8]))
        if tag == _ORIENTATION_TAG and len(entry) == 12 and count == 1 and kind in _INTEGER_BYTES:
            return _parse_integer(entry[8 : 8 + _INTEGER_BYTES[kind]], order)
    return None


def _read_xmp_orientation(xmp: bytes) -> int | None:
    """Read the orientation from an XMP packet; None without an orientation."""
    match = _XMP_ORIENTATION.search(xmp)
    return int(match[1]) if match else None


def _parse_integer(digits: bytes, order: Literal["little", "big"]) -> int:
    return int.from_bytes(digits, order)
