"""Random brightness, saturation and contrast, in this order."""

from __future__ import annotations

import tensorflow as tf

_RGBA_CHANNELS = 4
"""Number of channels of images whose last channel is alpha."""


def change_color(images: tf.Tensor, draws: tf.Tensor) -> tf.Tensor:
    """Change the brightness, the saturation and the contrast of each image.

    Brightness adds a number in [-0.5, 0.5). Saturation multiplies each pixel's difference from its mean over the
    channels by a factor in [0, 2), which does not change a gray image. Contrast multiplies the difference from the mean
    of the image by a factor in [0.5, 1.5). An alpha channel is not changed and not included in the means. Results are
    not clipped to [-1, 1].

    Args:
        images: Floating point [batch, height, width, 1, 3 or 4 channels]; the computation is in float32.
        draws: float32 [batch, 3] in [0, 1): brightness, saturation and contrast; 0.5 means no change.

    Returns:
        Images of the same shape and dtype.
    """
    brightness, saturation, contrast = tf.unstack(draws[:, :, None, None, None], axis=1)
    has_alpha = images.shape[-1] == _RGBA_CHANNELS
    color = tf.cast(images[..., :-1] if has_alpha else images, tf.float32)
    color += brightness - 0.5
    color = _scale_difference(color, tf.reduce_mean(color, axis=3, keepdims=True), 2.0 * saturation)
    color = _scale_difference(color, tf.reduce_mean(color, axis=[1, 2, 3], keepdims=True), contrast + 0.5)
    color = tf.cast(color, images.dtype)
    return tf.concat([color, images[..., -1:]], axis=3) if has_alpha else color


def _scale_difference(color: tf.Tensor, mean: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
    return (color - mean) * factor + mean
