"""Statistics of groups of images as an additional feature map.

References: Karras et al., Progressive Growing of GANs, ICLR 2018, section 3; for groups of four images, Karras et al.,
Analyzing and Improving the Image Quality of StyleGAN, CVPR 2020.
"""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

_EPSILON = 1e-8
"""Number added to a variance, as in the code of both papers, because the square root has no gradient at 0."""


@keras.saving.register_keras_serializable(package="sagan_tf")
class MinibatchStatistics(keras.layers.Layer):
    """An additional feature map that shows a discriminator how much the images of a group differ.

    The map is constant for each image: the standard deviation over the images of its group, averaged over channels and
    locations. A group consists of `group_size` consecutive images of the batch. In a batch whose first half is real and
    whose second half is fake, no group contains both if half a batch is a multiple of `group_size`. (The reference code
    groups images that are not consecutive.) The last group may be smaller; the deviation of a single image is 0, except
    for epsilon. The statistics are float32 in every precision.

    Args:
        group_size: Number of images in a group, at least 2.

    Call arguments:
        inputs: Float [batch, height, width, channels].

    Returns:
        A tensor of the dtype of the inputs and of shape [batch, height, width, channels + 1].

    Raises:
        ValueError: If `group_size` is below 2.

    Examples:
        >>> images = tf.reshape([0.0, 2.0, 5.0, 5.0], [4, 1, 1, 1])
        >>> MinibatchStatistics(group_size=2)(images)[:, 0, 0, 1].numpy().round(3).tolist()
        [1.0, 1.0, 0.0, 0.0]
    """

    def __init__(self, group_size: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if group_size < 2:
            raise ValueError(f"`group_size` must be at least 2. Received: {group_size}")
        self.group_size = group_size

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Append the feature map to the inputs."""
        deviations = tf.sqrt(self._compute_variances(tf.cast(inputs, tf.float32)) + _EPSILON)
        repeated = tf.repeat(tf.reduce_mean(deviations, [1, 2, 3]), self.group_size)
        image_values = tf.reshape(repeated[: _get_batch_size(inputs)], [-1, 1, 1, 1])
        feature_map = tf.ones_like(inputs[..., :1]) * tf.cast(image_values, inputs.dtype)
        return tf.concat([inputs, feature_map], axis=-1)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return the shape of the inputs with one more channel."""
        return (*input_shape[:-1], input_shape[-1] + 1)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments."""
        return {**super().get_config(), "group_size": self.group_size}

    def _compute_variances(self, x: tf.Tensor) -> tf.Tensor:
        """Return the population variance of each group, [groups, height, width, channels]."""
        batch = _get_batch_size(x)
        missing = -batch % self.group_size  # images that the last group lacks
        groups = tf.reshape(tf.pad(x, [[0, missing], [0, 0], [0, 0], [0, 0]]), [-1, self.group_size, *x.shape[1:]])
        is_present = tf.reshape(tf.range(batch + missing) < batch, [-1, self.group_size, 1, 1, 1])
        weights = tf.cast(is_present, tf.float32)
        weights /= tf.reduce_sum(weights, axis=1, keepdims=True)
        means = tf.reduce_sum(weights * groups, axis=1, keepdims=True)
        return tf.reduce_sum(weights * tf.square(groups - means), axis=1)


def _get_batch_size(x: tf.Tensor) -> Any:
    """Return the number of images.

    It is an integer if it is known, so that training steps have static shapes.
    """
    return tf.shape(x)[0] if x.shape[0] is None else x.shape[0]
