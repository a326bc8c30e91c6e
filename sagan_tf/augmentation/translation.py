"""Random translation."""

from __future__ import annotations

import tensorflow as tf

_MAX_OFFSET_RATIO = 1 / 8
"""Largest translation as a fraction of the image size (Zhao et al. 2020)."""


def translate(images: tf.Tensor, draws: tf.Tensor) -> tf.Tensor:
    """Move each image by whole pixels, up to an eighth of its size in each direction.

    Pixels from outside the image are 0 in every channel: medium gray, and half transparent with an alpha channel.

    Args:
        images: Floating point [batch, height, width, channels].
        draws: float32 [batch, 2] in [0, 1): downward and to the right; 0.5 means no change.

    Returns:
        Images of the same shape and dtype.
    """
    return _move(_move(images, draws[:, 0], axis=1), draws[:, 1], axis=2)


def _move(images: tf.Tensor, draws: tf.Tensor, axis: int) -> tf.Tensor:
    size = images.shape[axis]
    max_offset = int(size * _MAX_OFFSET_RATIO + 0.5)
    # int64, because TensorFlow computes int32 on the host, which would have to wait for the GPU.
    offsets = tf.cast(draws * (2 * max_offset + 1), tf.int64) - max_offset
    sources = tf.range(size, dtype=tf.int64) - offsets[:, tf.newaxis]
    inside = (sources >= 0) & (sources < size)
    moved = tf.gather(images, tf.clip_by_value(sources, 0, size - 1), axis=axis, batch_dims=1)
    mask = tf.expand_dims(inside[..., tf.newaxis], 3 - axis)
    return tf.where(mask, moved, tf.zeros([], images.dtype))
