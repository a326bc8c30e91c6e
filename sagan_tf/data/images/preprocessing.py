"""Pure functions that decode, crop, resize, scale and flip images."""

from __future__ import annotations

import contextlib
import io
import math
import threading

import numpy as np
import tensorflow as tf
from PIL import Image, JpegImagePlugin, UnidentifiedImageError

from sagan_tf.data.images.jpeg_scans import check_scans
from sagan_tf.data.images.limits import MAX_PIXELS, UnreadableImageError, check_file_bytes, check_size
from sagan_tf.data.images.metadata import split_metadata

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF")
"""Pillow's names of the formats that are read. Of a file with several frames, the first is decoded."""

MIN_REDUCED_RATIO = 1.4
"""A JPEG is decoded at 1/2, 1/4 or 1/8 of its size if this many times the resolution remains for the resize."""

_MAX_PARALLEL_PIXELS = 2**24
"""Larger images are decoded one at a time: as many threads as there are cores would fill the memory."""
_large_image_lock, _no_lock = threading.Lock(), contextlib.nullcontext()

_MODES = {1: "L", 3: "RGB", 4: "RGBA"}
_WHITE = (255, 255, 255, 255)
_MAX_16_BIT_VALUE = 65535

# The transpose that makes the stored image upright, by EXIF orientation.
_UPRIGHT_TRANSPOSES = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# The orientations whose transpose moves the stored left side to the right or bottom, and likewise for the top side.
_LEFT_SIDE_MOVED = (2, 3, 7, 8)
_TOP_SIDE_MOVED = (3, 4, 6, 7)


def decode_image(encoded: bytes, *, resolution: int, image_channels: int) -> np.ndarray:
    """Decode an image, and crop and resize it to the size of the networks.

    The result is the largest center square of the upright image.

    The resize is Pillow's bicubic, whose support grows with the reduction, so that it does not alias; among Pillow's
    filters it is the one that neither blurs (box, bilinear) nor rings visibly (Lanczos). A filter at the square's edge
    sees the pixels beyond it.

    All this is part of a metric's protocol: reference statistics come from images that this function decoded. A JPEG is
    decoded at 1/2, 1/4 or 1/8 of its size if `MIN_REDUCED_RATIO` times the resolution remains. That halves the time for
    500 x 375 pixels and is not visible: at 128 pixels, seven photographs differ from full decoding by one of 255 levels
    per pixel (43 dB on average, 39 dB for the sharpest), as much as with Lanczos in place of bicubic.

    With 1 or 3 channels, transparent images are blended with white, for which most images with transparency are drawn.
    With 4 channels, alpha is kept (and the colors are premultiplied for the resize); it is opaque if the image has
    none. 16-bit gray is scaled to 8 bits, not clipped.

    Args:
        encoded: The content of a JPEG, PNG, WebP, BMP or GIF file.
        resolution: Height and width of the result, in pixels.
        image_channels: 1 (gray), 3 (red, green, blue) or 4 (with alpha).

    Returns:
        uint8 [resolution, resolution, image_channels].

    Raises:
        UnreadableImageError: The bytes are damaged or of another format, or the image is larger than the module
            `limits` allows.
        KeyError: `image_channels` is not 1, 3 or 4.
    """
    mode = _MODES[image_channels]
    try:
        image, orientation = open_image(encoded)
        with image:
            width, height = image.size
            min_side = math.ceil(MIN_REDUCED_RATIO * resolution)
            reduced = image.draft(None, (min_side, min_side))  # None if the image is not a JPEG
            scale = width / reduced[1][2] if reduced else 1.0
            with _large_image_lock if image.width * image.height > _MAX_PARALLEL_PIXELS else _no_lock:
                box = tuple(edge / scale for edge in _find_center_square(width, height, orientation))
                pixels = _convert_to_resizable_mode(image, mode)
                # Transposed and converted after the resize, when the image is small.
                pixels = pixels.resize((resolution, resolution), Image.Resampling.BICUBIC, box=box)
        if orientation in _UPRIGHT_TRANSPOSES:
            pixels = pixels.transpose(_UPRIGHT_TRANSPOSES[orientation])
        pixels = pixels if pixels.mode == mode else pixels.convert(mode)
    except UnreadableImageError:
        raise
    except UnidentifiedImageError as error:  # its own message has a memory address
        raise UnreadableImageError(f"UnidentifiedImageError: cannot identify it as {', '.join(FORMATS)}") from error
    except Exception as error:  # Pillow raises almost any exception for damaged files.
        raise UnreadableImageError(f"{type(error).__name__}: {error}") from error
    return np.asarray(pixels, dtype=np.uint8).reshape(resolution, resolution, image_channels)


def open_image(encoded: bytes) -> tuple[Image.Image, int]:
    """Open an image and read only its header, which has its size and mode.

    Args:
        encoded: The content of the file. Its metadata may be damaged: metadata never decides whether pixels are read.

    Returns:
        The image without metadata, and the number of its EXIF orientation, 1 if it has none.

    Raises:
        UnreadableImageError: The image is larger than the module `limits` allows, or has too many scans.
        Exception: Almost any exception of Pillow, for damaged files.
    """
    check_file_bytes(len(encoded))
    encoded, orientation = split_metadata(encoded)
    file = io.BytesIO(encoded)
    try:
        image = Image.open(file, formats=FORMATS)
    except Image.DecompressionBombError as error:  # Pillow's own limit, which is above that of `check_size`
        raise UnreadableImageError(
            f"expected at most {MAX_PIXELS / 1e6:.0f} million pixels, received more than twice as many; reduce the "
            "size of the image"
        ) from error
    check_size(*image.size)
    if isinstance(image, JpegImagePlugin.JpegImageFile):
        check_scans(image, encoded, file.tell())
    return image, orientation


def _find_center_square(width: int, height: int, orientation: int) -> tuple[int, int, int, int]:
    """Return the largest center square of the stored image: left, top, right, bottom.

    If it cannot be exactly in the center, the additional pixel is cropped at the right or bottom of the upright image.
    """
    side = min(width, height)
    across, down = (width - side) // 2, (height - side) // 2
    left = width - side - across if orientation in _LEFT_SIDE_MOVED else across
    top = height - side - down if orientation in _TOP_SIDE_MOVED else down
    return left, top, left + side, top + side


def _convert_to_resizable_mode(image: Image.Image, mode: str) -> Image.Image:
    """Convert an image of any Pillow mode to L, RGB or, if `mode` is RGBA, RGBA."""
    if image.mode.startswith("I"):
        # Rounded in place, because an image may be large. No value is so close to the middle between two integers that
        # 32 bits would round it to the wrong one.
        stored, transparent = np.asarray(image), image.info.get("transparency")
        values = np.multiply(stored, 255 / _MAX_16_BIT_VALUE, dtype=np.float32)
        gray = Image.fromarray(np.clip(np.rint(values, out=values), 0, 255, out=values).astype(np.uint8))
        if not isinstance(transparent, int):
            return gray
        image = gray.convert("LA")
        image.putalpha(Image.fromarray(np.where(stored == transparent, np.uint8(0), np.uint8(255))))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        if mode == "RGBA":
            return image
        return Image.alpha_composite(Image.new("RGBA", image.size, _WHITE), image).convert("RGB")
    return image if image.mode in ("L", "RGB") else image.convert("RGB")


def scale_to_unit_range(images: tf.Tensor) -> tf.Tensor:
    """Scale bytes to [-1, 1], the range of the generator's tanh.

    Args:
        images: uint8, any shape, 0 to 255.

    Returns:
        float32, same shape, -1 to 1.
    """
    return tf.cast(images, tf.float32) / 127.5 - 1.0


def to_uint8(images: tf.Tensor) -> tf.Tensor:
    """Convert images in [-1, 1] to bytes; the inverse of `scale_to_unit_range`.

    Values are rounded, and clipped to -1 to 1.

    Args:
        images: Floating point, any shape.

    Returns:
        uint8, same shape.
    """
    return tf.cast(tf.clip_by_value(tf.round((tf.cast(images, tf.float32) + 1.0) * 127.5), 0.0, 255.0), tf.uint8)


def flip_at_random(images: tf.Tensor, *, seed: int, positions: tf.Tensor) -> tf.Tensor:
    """Flip each image left to right with probability 1/2.

    The flips are a function of `seed` and the positions alone.

    Args:
        images: [batch, height, width, channels].
        seed: Seed of the run.
        positions: int64 [batch], the positions of the images in the stream. An image has another position in each
            epoch, and so may be flipped in one epoch and not in the next.

    Returns:
        The images, some of them flipped, same shape and dtype.
    """
    # A keyed hash (SipHash) gives a random bit that depends on nothing else, and takes a whole batch at once.
    is_flipped = tf.strings.to_hash_bucket_strong(tf.strings.as_string(positions), num_buckets=2, key=[seed, 0])
    return tf.where(is_flipped[:, None, None, None] == 1, tf.reverse(images, axis=[2]), images)
