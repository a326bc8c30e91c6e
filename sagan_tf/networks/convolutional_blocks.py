"""The blocks of a plain convolutional GAN.

Reference: Radford et al., Unsupervised Representation Learning with Deep Convolutional GANs, ICLR 2016.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from sagan_tf.networks.blocks import Block, ConditionedBlock


@keras.saving.register_keras_serializable(package="sagan_tf")
class ConvolutionalGeneratorBlock(ConditionedBlock):
    """norm, ReLU, transposed conv 4x4 stride 2. Arguments: `ConditionedBlock`."""

    def build(self, input_shape: Any) -> None:
        features, *conditions = input_shape
        self.normalization_1 = self._normalization("normalization_1", features, conditions)
        self.convolution_1 = self._convolution(
            self.filters, 4, "convolution_1", keras.layers.Conv2DTranspose, strides=2
        )
        self.convolution_1.build(features)

    def call(self, inputs: Sequence[tf.Tensor], training: bool = False) -> tf.Tensor:
        features, *conditions = inputs
        x = self._normalize(self.normalization_1, features, conditions, training)
        return self.convolution_1(x, training=training)


@keras.saving.register_keras_serializable(package="sagan_tf")
class ConvolutionalDiscriminatorBlock(Block):
    """conv 4x4 stride 2, leaky ReLU of slope 0.2.

    Args:
        filters, spectral_norm, kernel_initializer: as for `Block`.

    Call arguments:
        inputs: [batch, height, width, channels] float.

    Returns:
        [batch, height / 2, width / 2, filters].
    """

    def build(self, input_shape: Any) -> None:
        self.convolution_1 = self._convolution(self.filters, 4, "convolution_1", strides=2)
        self.convolution_1.build(input_shape)

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        return tf.nn.leaky_relu(self.convolution_1(inputs, training=training), 0.2)

    def compute_output_shape(self, input_shape: Any) -> Any:
        batch, height, width, _ = input_shape
        return (batch, height // 2, width // 2, self.filters)
