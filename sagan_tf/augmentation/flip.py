"""Random flip."""

from __future__ import annotations

import tensorflow as tf


def flip(images: tf.Tensor, draws: tf.Tensor) -> tf.Tensor:
    """Flip each image left to right with probability 1/2.

    Args:
        images: Floating point [batch, height, width, channels].
        draws: float32 [batch, 1] in [0, 1); below 0.5 the image is flipped.

    Returns:
        Images of the same shape and dtype.
    """
    return tf.where(draws[:, :, tf.newaxis, tf.newaxis] < 0.5, tf.reverse(images, axis=[2]), images)
