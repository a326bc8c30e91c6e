"""Blocks of a convolutional GAN without residual connections.

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
    """Batch normalization, ReLU and a 4x4 transposed convolution of stride 2.

    The arguments are those of `ConditionedBlock`.
    """

    def build(self, input_shape: Any) -> None:
        """Create the layers of the block."""
        features, *conditions = input_shape
        self.normalization_1 = self._build_normalization("normalization_1", features, conditions)
        self.convolution_1 = self._create_convolution(
            self.filters, 4, "convolution_1", keras.layers.Conv2DTranspose, strides=2
        )
        self.convolution_1.build(features)

    def call(self, inputs: Sequence[tf.Tensor], training: bool = False) -> tf.Tensor:
        """Apply the block."""
        features, *conditions = inputs
        x = self._normalize_and_activate(self.normalization_1, features, conditions, training)
        return self.convolution_1(x, training=training)


@keras.saving.register_keras_serializable(package="sagan_tf")
class ConvolutionalDiscriminatorBlock(Block):
    """A 4x4 convolution of stride 2 and a leaky ReLU of slope 0.2.

    Args:
        filters, spectral_norm, kernel_initializer: As for `Block`.

    Call arguments:
        inputs: Float [batch, height, width, channels].

    Returns:
        [batch, height / 2, width / 2, filters].
    """

    def build(self, input_shape: Any) -> None:
        """Create the convolution."""
        self.convolution_1 = self._create_convolution(self.filters, 4, "convolution_1", strides=2)
        self.convolution_1.build(input_shape)

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Apply the block."""
        return tf.nn.leaky_relu(self.convolution_1(inputs, training=training), 0.2)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return the shape of the outputs."""
        batch, height, width, _ = input_shape
        return (batch, height // 2, width // 2, self.filters)
