"""Control block of the paper's attention study: a residual block with as many parameters as self-attention."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from sagan_tf.layers.attention_forms import ATTENTION_FORMS
from sagan_tf.networks.blocks import Block

# Kernel sizes of the two convolutions, tried in this order, so that an ordinary residual block comes first.
_KERNEL_SIZES = ((3, 3), (3, 1), (1, 1))
_MAX_RELATIVE_ERROR = 0.05


@keras.saving.register_keras_serializable(package="sagan_tf")
class ParameterMatchedBlock(Block):
    """A residual block with about as many parameters as self-attention.

    It computes x + conv(ReLU(conv(ReLU(x)))). The number of inner channels is chosen so that the parameter count is
    within 5 % of that of self-attention.

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
        inner, sizes = choose_matched_shape(self.filters, self.form)
        self.convolution_1 = self._create_convolution(inner, sizes[0], "convolution_1", use_bias=False)
        self.convolution_2 = self._create_convolution(self.filters, sizes[1], "convolution_2", use_bias=False)
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


def choose_matched_shape(channels: int, form: str) -> tuple[int, tuple[int, int]]:
    """Choose a block with about as many parameters as self-attention.

    Args:
        channels: Number of channels of the feature map.
        form: Form of the `SelfAttention2D` that the block replaces.

    Returns:
        The number of inner channels and the two kernel sizes: the first pair of sizes whose parameter count is within
        5 %, or the closest pair if there is none.
    """
    wanted = ATTENTION_FORMS[form].count_parameters(channels)
    candidates = []
    for sizes in _KERNEL_SIZES:
        per_inner_channel = channels * (sizes[0] ** 2 + sizes[1] ** 2)
        inner = max(round(wanted / per_inner_channel), 1)
        error = abs(inner * per_inner_channel - wanted) / wanted
        if error <= _MAX_RELATIVE_ERROR:
            return inner, sizes
        candidates.append((error, inner, sizes))
    _, inner, sizes = min(candidates)
    return inner, sizes
