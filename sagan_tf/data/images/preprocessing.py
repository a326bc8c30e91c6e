"""Pure functions on single images and batches: decode, crop, resize, scale, flip."""

from __future__ import annotations

import contextlib
import io
import math
import threading

import numpy as np
import tensorflow as tf
from PIL import Image, JpegImagePlugin, UnidentifiedImageError

from sagan_tf.data.images.jpeg_scans import check_scans
from sagan_tf.data.images.limits import UnreadableImageError, check_length, check_size
from sagan_tf.data.images.metadata import split_metadata

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF")
"""Pillow's names of the formats that are read; the first frame counts where there are several."""

LEAST_REDUCED = 1.4
"""JPEG is decoded at 1/2, 1/4 or 1/8 of its size if this many times the resolution is left for the resize."""

_LARGE = 2**24
"""Pixels, from which on images are decoded one at a time: as many threads as there are cores would fill the memory."""
_one_large_image, _any_image = threading.Lock(), contextlib.nullcontext()

_MODES = {1: "L", 3: "RGB", 4: "RGBA"}
_BACKGROUND = (255, 255, 255, 255)
_LARGEST_16_BIT_VALUE = 65535

# EXIF orientation -> what makes the stored picture upright; and those that turn its left or top side round.
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_LEFT_TURNED = (2, 3, 7, 8)
_TOP_TURNED = (3, 4, 6, 7)


def decode_image(encoded: bytes, *, resolution: int, image_channels: int) -> np.ndarray:
    """Decode one image and bring it to the size and channels of the networks: upright, its largest centre square.

    The resize is Pillow's bicubic, whose support grows with the reduction, so that it does not alias; among Pillow's
    filters it is the one that neither blurs (box, bilinear) nor rings visibly (Lanczos). A filter at the square's edge
    sees the pixels beyond it.

    All this is part of a metric's protocol: reference statistics are those of pictures decoded here. A JPEG is decoded
    at 1/2, 1/4 or 1/8 of its size where `LEAST_REDUCED` times the resolution is left, which halves the time of 500 x
    375 pixels and cannot be seen: at 128 pixels, seven photographs differ from ones that are decoded in full by one of
    255 levels a pixel (43 dB on average, 39 dB for the sharpest), as they do if Lanczos takes the place of bicubic.

    Transparent images are put on white where 1 or 3 channels are asked for, since that is what most pictures with
    transparency are drawn for; with 4 channels alpha is kept (resized with premultiplied colours), opaque if the image
    has none. 16-bit grey is scaled to 8 bits, not clipped.

    Args:
        encoded: a whole JPEG, PNG, WebP, BMP or GIF file.
        resolution: height and width wanted.
        image_channels: 1 (grey), 3 (red, green, blue) or 4 (with alpha).

    Returns:
        uint8 [resolution, resolution, image_channels].

    Raises:
        UnreadableImageError: the bytes are damaged, of another format, or say that the image is larger than
            `image_limits` allows.
        KeyError: `image_channels` is not 1, 3 or 4.
    """
    mode = _MODES[image_channels]
    try:
        image, orientation = open_image(encoded)
        with image:
            width, height = image.size
            least = math.ceil(LEAST_REDUCED * resolution)
            reduced = image.draft(None, (least, least))  # None: not a JPEG
            scale = width / reduced[1][2] if reduced else 1.0
            with _one_large_image if image.width * image.height > _LARGE else _any_image:
                box = tuple(edge / scale for edge in _centre_square(width, height, orientation))
                pixels = _without_oddities(image, mode)
                # Turned and converted when it is small.
                pixels = pixels.resize((resolution, resolution), Image.Resampling.BICUBIC, box=box)
        if orientation in _UPRIGHT:
            pixels = pixels.transpose(_UPRIGHT[orientation])
        pixels = pixels if pixels.mode == mode else pixels.convert(mode)
    except UnreadableImageError:
        raise
    except UnidentifiedImageError as error:  # whose message names an address in memory
        raise UnreadableImageError(f"UnidentifiedImageError: cannot identify it as {', '.join(FORMATS)}") from error
    except Exception as error:  # Pillow raises almost any exception for damaged files.
        raise UnreadableImageError(f"{type(error).__name__}: {error}") from error
    return np.asarray(pixels, dtype=np.uint8).reshape(resolution, resolution, image_channels)


def open_image(encoded: bytes) -> tuple[Image.Image, int]:
    """Open an image file of which only the header is read, so that its size and mode are known.

    Args:
        encoded: a whole file, whose metadata may be damaged: metadata never decides whether pixels are read.

    Returns:
        The image without metadata, and the number of its EXIF orientation, 1 if it gives none.

    Raises:
        UnreadableImageError: it is larger than `image_limits` allows, or has too many scans.
        Exception: nearly any, of Pillow's, for damaged files.
    """
    check_length(len(encoded))
    encoded, orientation = split_metadata(encoded)
    file = io.BytesIO(encoded)
    image = Image.open(file, formats=FORMATS)
    check_size(*image.size)
    if isinstance(image, JpegImagePlugin.JpegImageFile):
        check_scans(image, encoded, file.tell())
    return image, orientation


def _centre_square(width: int, height: int, orientation: int) -> tuple[int, int, int, int]:
    """Return the largest square in the middle of the stored picture: left, top, right, bottom.

    The odd pixel is left out at the right or bottom of the upright picture.
    """
    side = min(width, height)
    across, down = (width - side) // 2, (height - side) // 2
    left = width - side - across if orientation in _LEFT_TURNED else across
    top = height - side - down if orientation in _TOP_TURNED else down
    return left, top, left + side, top + side


def _without_oddities(image: Image.Image, mode: str) -> Image.Image:
    """Any mode of Pillow's as one that can be resized as it is: L, RGB or, if `mode` is, RGBA."""
    if image.mode.startswith("I"):
        # In place: an image may be large. No value is so near to the middle of two that 32 bits would not tell.
        values = np.multiply(np.asarray(image), 255 / _LARGEST_16_BIT_VALUE, dtype=np.float32)
        return Image.fromarray(np.clip(np.rint(values, out=values), 0, 255, out=values).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        if mode == "RGBA":
            return image
        return Image.alpha_composite(Image.new("RGBA", image.size, _BACKGROUND), image).convert("RGB")
    return image if image.mode in ("L", "RGB") else image.convert("RGB")


def scale_to_unit_range(images: tf.Tensor) -> tf.Tensor:
    """Bytes to the range of the generator's tanh.

    Args:
        images: uint8, any shape, 0 to 255.

    Returns:
        float32, the same shape, -1 to 1.
    """
    return tf.cast(images, tf.float32) / 127.5 - 1.0


def to_uint8(images: tf.Tensor) -> tf.Tensor:
    """Return the inverse of `scale_to_unit_range`, with rounding; values outside -1 to 1 are clipped.

    Args:
        images: floating point, any shape.

    Returns:
        uint8, the same shape.
    """
    return tf.cast(tf.clip_by_value(tf.round((tf.cast(images, tf.float32) + 1.0) * 127.5), 0.0, 255.0), tf.uint8)


def flip_at_random(images: tf.Tensor, *, seed: int, positions: tf.Tensor) -> tf.Tensor:
    """Flips each image left to right with probability 1/2, as decided by `seed` and its position alone.

    Args:
        images: [batch, height, width, channels].
        seed: seed of the run.
        positions: int64 [batch], the images' places in the stream; an image has another one in each epoch, and so may
            be flipped in one and not in the next.

    Returns:
        The images, some of them mirrored, same shape and dtype.
    """
    # A keyed hash (SipHash) is a random bit that depends on nothing else, and takes a whole batch at once.
    coins = tf.strings.to_hash_bucket_strong(tf.strings.as_string(positions), num_buckets=2, key=[seed, 0])
    return tf.where(coins[:, None, None, None] == 1, tf.reverse(images, axis=[2]), images)
