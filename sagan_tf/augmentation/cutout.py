"""Random cutout."""

from __future__ import annotations

import tensorflow as tf

_RATIO = 1 / 2
"""Side of the square as a fraction of the image's size (Zhao et al. 2020)."""


def cut_out(images: tf.Tensor, draws: tf.Tensor) -> tf.Tensor:
    """Set a square of half the image's size to 0 in every channel.

    The square's center is uniform over the image, so that a part of the square may be outside of it.

    Args:
        images: Floating point [batch, height, width, channels].
        draws: float32 [batch, 2] in [0, 1): the row and the column of the center.

    Returns:
        Images of the same shape and dtype.
    """
    rows = _is_cut(images.shape[1], draws[:, 0])[:, :, tf.newaxis, tf.newaxis]
    columns = _is_cut(images.shape[2], draws[:, 1])[:, tf.newaxis, :, tf.newaxis]
    return tf.where(rows & columns, tf.zeros([], images.dtype), images)


def _is_cut(size: int, draws: tf.Tensor) -> tf.Tensor:
    """Return which rows or columns each square covers: bool [batch, size]."""
    side = int(size * _RATIO + 0.5)
    centers = size + 1 - side % 2  # a square of an even side is centered between two pixels, or on the border
    # int64: TensorFlow computes with int32 on the host, for which a GPU has to finish what came before.
    first = tf.cast(draws * centers, tf.int64) - side // 2
    place = tf.range(size, dtype=tf.int64) - first[:, tf.newaxis]
    return (place >= 0) & (place < side)
