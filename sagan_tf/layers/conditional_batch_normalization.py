"""Batch normalization with a gamma and beta for each class.

References: de Vries et al., Modulating early visual processing by language, NeurIPS 2017; Miyato & Koyama, cGANs with
Projection Discriminator, ICLR 2018.
"""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from sagan_tf.layers.batch_normalization import BatchNormalization
from sagan_tf.layers.normalization import scale_and_offset


@keras.saving.register_keras_serializable(package="sagan_tf")
class ConditionalBatchNormalization(BatchNormalization):
    """Batch normalization whose gamma and beta are looked up by class label.

    All classes share the batch statistics. Gamma and beta are rows of two tables [num_classes, channels], which are
    stored under the names `gain` and `bias`. The tables are never spectrally normalized: published runs that normalize
    them reach FID 35-37 on ImageNet-128, where runs that do not reach 12.83 (mmgeneration).

    Args:
        num_classes: Number of rows of the two tables, at least 1.
        momentum, epsilon, synchronized: As for `BatchNormalization`.

    Call arguments:
        inputs: A pair of features, float [batch, height, width, channels], and labels, int32 [batch] in
            [0, num_classes).
        training: Whether to use the statistics of the batch and to update the moving statistics.

    Returns:
        A tensor of the shape and dtype of the features.

    Raises:
        ValueError: If `num_classes` is below 1.
    """

    def __init__(self, num_classes: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if num_classes < 1:
            raise ValueError(f"`num_classes` must be at least 1. Received: {num_classes}")
        self.num_classes = num_classes

    def build(self, input_shape: Any) -> None:
        """Create the tables of gamma and beta, and the moving statistics."""
        channels = input_shape[0][-1]
        self._build_statistics(channels)
        table = (self.num_classes, channels)
        self.gain = self.add_weight(name="gain", shape=table, initializer="ones", autocast=False)
        self.bias = self.add_weight(name="bias", shape=table, initializer="zeros", autocast=False)

    def call(self, inputs: tuple[tf.Tensor, ...], training: bool = False) -> tf.Tensor:
        """Normalize the features with the gamma and beta of their labels."""
        features, labels = inputs
        if self._frozen_values is not None and not training:
            scale, offset = (tf.gather(table, labels) for table in self._frozen_values)
            return scale_and_offset(features, scale, offset)
        # int64, because a GPU needs the host to compute the gradient of a lookup by int32 labels.
        labels = tf.cast(labels, tf.int64)
        gamma = tf.gather(tf.convert_to_tensor(self.gain), labels)
        beta = tf.gather(tf.convert_to_tensor(self.bias), labels)
        return self._normalize(features, gamma, beta, training)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return the shape of the features."""
        return input_shape[0]

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments."""
        return {**super().get_config(), "num_classes": self.num_classes}
