"""Random cutout."""

from __future__ import annotations

import tensorflow as tf

_SIDE_RATIO = 1 / 2
"""Side of the square as a fraction of the image size (Zhao et al. 2020)."""


def cut_out(images: tf.Tensor, draws: tf.Tensor) -> tf.Tensor:
    """Set a square of half the image's size to 0 in every channel.

    The center of the square is uniform over the image, so a part of the square may lie outside the image.

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
    side = int(size * _SIDE_RATIO + 0.5)
    # A square with an even side is centered between two pixels or on the border.
    centers = size + 1 - side % 2
    # int64, because TensorFlow computes int32 on the host, which would have to wait for the GPU.
    first = tf.cast(draws * centers, tf.int64) - side // 2
    offset = tf.range(size, dtype=tf.int64) - first[:, tf.newaxis]
    return (offset >= 0) & (offset < side)
