"""Random brightness, saturation and contrast, in this order."""

from __future__ import annotations

import tensorflow as tf

_ALPHA_CHANNELS = 4
"""Images with so many channels have their alpha in the last one."""


def change_color(images: tf.Tensor, draws: tf.Tensor) -> tf.Tensor:
    """Change the brightness, the saturation and the contrast of each image.

    Brightness adds a number in [-0.5, 0.5). Saturation multiplies each pixel's difference from its mean over the
    channels by a factor in [0, 2), which changes nothing in a gray image. Contrast multiplies the difference from the
    image's mean by a factor in [0.5, 1.5). An alpha channel is kept and takes no part in the means. Results are not
    clipped to [-1, 1].

    Args:
        images: Floating point [batch, height, width, 1, 3 or 4 channels]; computed with in float32.
        draws: float32 [batch, 3] in [0, 1): brightness, saturation, contrast; 0.5 is no change.

    Returns:
        Images of the same shape and dtype.
    """
    brightness, saturation, contrast = tf.unstack(draws[:, :, None, None, None], axis=1)
    has_alpha = images.shape[-1] == _ALPHA_CHANNELS
    color = tf.cast(images[..., :-1] if has_alpha else images, tf.float32)
    color += brightness - 0.5
    color = _scale_difference(color, tf.reduce_mean(color, axis=3, keepdims=True), 2.0 * saturation)
    color = _scale_difference(color, tf.reduce_mean(color, axis=[1, 2, 3], keepdims=True), contrast + 0.5)
    color = tf.cast(color, images.dtype)
    return tf.concat([color, images[..., -1:]], axis=3) if has_alpha else color


def _scale_difference(color: tf.Tensor, mean: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
    return (color - mean) * factor + mean
