"""Control block of the paper's attention study: a residual block with about as many parameters."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from sagan_tf.layers.attention_forms import ATTENTION_FORMS
from sagan_tf.networks.blocks import Block

KERNEL_SIZES = (3, 1)
"""Sizes of the kernels, in pixels."""


@keras.saving.register_keras_serializable(package="sagan_tf")
class ParameterMatchedBlock(Block):
    """A residual block with about as many parameters as self-attention.

    It computes x + conv1x1(ReLU(conv3x3(ReLU(x)))) without biases. Its two kernels have 10 C parameters for each inner
    channel, and the number of inner channels is the one that comes closest to self-attention. The kernel sizes are the
    same everywhere, so that blocks at different feature maps of a study differ by their place and not by their kind.
    (The paper does not give them.)

    For C channels, a multiple of 8, the forms `pooled` and `full` have 1.25 C^2 parameters and gamma: C/8 inner
    channels have all of these but gamma. The form `paper` has 0.5 C^2: C/20 inner channels, rounded to a whole number.
    With 16, 32, 64, 128 and 256 channels, the block then differs from self-attention by 24, 25, 6, 6 and 2 % of the
    parameters; with 8 channels, its single inner channel has more than twice as many.

    Args:
        filters: Number of input and output channels.
        form: Form of the `SelfAttention2D` that the block replaces.
        spectral_norm, kernel_initializer: As for `Block`.

    Call arguments:
        inputs: Float [batch, height, width, filters].

    Returns:
        A tensor of the shape and dtype of the inputs.
    """

    def __init__(self, filters: int, form: str = "pooled", **kwargs: Any) -> None:
        super().__init__(filters, **kwargs)
        self.form = form

    def build(self, input_shape: Any) -> None:
        """Create the two convolutions."""
        inner = count_inner_channels(self.filters, self.form)
        first_size, second_size = KERNEL_SIZES
        self.convolution_1 = self._create_convolution(inner, first_size, "convolution_1", use_bias=False)
        self.convolution_2 = self._create_convolution(self.filters, second_size, "convolution_2", use_bias=False)
        self.convolution_1.build(input_shape)
        self.convolution_2.build((*input_shape[:3], inner))

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Apply the block."""
        x = self.convolution_1(tf.nn.relu(inputs), training=training)
        return inputs + self.convolution_2(tf.nn.relu(x), training=training)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return the shape of the inputs."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments."""
        return {**super().get_config(), "form": self.form}


def count_inner_channels(channels: int, form: str) -> int:
    """Count the inner channels with which the block is closest to self-attention in parameters.

    Args:
        channels: Number of channels of the feature map.
        form: Form of the `SelfAttention2D` that the block replaces.
    """
    per_inner_channel = channels * sum(size**2 for size in KERNEL_SIZES)
    return max(round(ATTENTION_FORMS[form].count_parameters(channels) / per_inner_channel), 1)
