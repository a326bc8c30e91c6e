"""Pure functions on single images and batches: decode, crop, resize, scale, flip."""

from __future__ import annotations

import io

import numpy as np
import tensorflow as tf
from PIL import Image, ImageOps

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF")
"""Pillow's names of the formats that are read; the first frame counts where there are several."""

_MODES = {1: "L", 3: "RGB", 4: "RGBA"}
_BACKGROUND = (255, 255, 255, 255)
_LARGEST_16_BIT_VALUE = 65535


class UnreadableImageError(ValueError):
    """The bytes are not an image that can be decoded."""


def decode_image(encoded: bytes, *, resolution: int, image_channels: int) -> np.ndarray:
    """Decodes one image and brings it to the size and channels of the networks.

    In this order: the EXIF orientation is applied, the largest centre square is cut out, channels are converted and the
    square is resized. Cropping before resizing keeps the proportions. The resize is Pillow's bicubic, whose support
    grows with the reduction, so that it does not alias; among Pillow's filters it is the one that neither blurs (box,
    bilinear) nor rings visibly (Lanczos).

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
        UnreadableImageError: the bytes are damaged, of another format, or larger than Pillow's protection against
            decompression bombs allows.
        KeyError: `image_channels` is not 1, 3 or 4.
    """
    mode = _MODES[image_channels]
    try:
        with Image.open(io.BytesIO(encoded), formats=FORMATS) as image:
            # JPEG can be decoded at 1/2, 1/4 or 1/8 size; twice the target leaves the quality to the bicubic resize.
            image.draft(None, (2 * resolution, 2 * resolution))
            ImageOps.exif_transpose(image, in_place=True)
            pixels = _convert(_centre_square(image), mode).resize((resolution, resolution), Image.Resampling.BICUBIC)
    except Exception as error:  # Pillow's decoders raise nearly every kind of exception on damaged files.
        raise UnreadableImageError(f"{type(error).__name__}: {error}") from error
    return np.asarray(pixels, dtype=np.uint8).reshape(resolution, resolution, image_channels)


def _centre_square(image: Image.Image) -> Image.Image:
    """The largest square in the middle; the odd pixel is left out at the right or bottom."""
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    return image.crop((left, top, left + side, top + side))


def _convert(image: Image.Image, mode: str) -> Image.Image:
    """Converts any mode of Pillow's to L, RGB or RGBA with 8 bits a channel."""
    if image.mode.startswith("I"):
        values = np.asarray(image, dtype=np.float64) * (255 / _LARGEST_16_BIT_VALUE)
        image = Image.fromarray(np.clip(np.rint(values), 0, 255).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        if mode != "RGBA":
            image = Image.alpha_composite(Image.new("RGBA", image.size, _BACKGROUND), image)
    return image.convert(mode)


def scale_to_unit_range(images: tf.Tensor) -> tf.Tensor:
    """Bytes to the range of the generator's tanh.

    Args:
        images: uint8, any shape, 0 to 255.

    Returns:
        float32, the same shape, -1 to 1.
    """
    return tf.cast(images, tf.float32) / 127.5 - 1.0


def to_uint8(images: tf.Tensor) -> tf.Tensor:
    """The inverse of `scale_to_unit_range`, with rounding; values outside -1 to 1 are clipped.

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
