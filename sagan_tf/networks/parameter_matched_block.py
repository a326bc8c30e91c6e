"""The control of the paper's attention study: a residual block with as many parameters as the attention it replaces."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from sagan_tf.networks.blocks import Block

# Kernel sizes of the two convolutions, tried in this order: an ordinary residual block first.
_KERNEL_SIZES = ((3, 3), (3, 1), (1, 1))
_TOLERANCE = 0.05


@keras.saving.register_keras_serializable(package="sagan_tf")
class ParameterMatchedBlock(Block):
    """x + conv(ReLU(conv(ReLU(x)))), with the inner width that matches self-attention's parameter count within 5 %.

    Args:
        filters, spectral_norm, kernel_initializer: as for `Block`; `filters` is the input's width too.
        form: of the `SelfAttention2D` that it replaces.

    Call arguments:
        inputs: [batch, height, width, filters] float.

    Returns:
        A tensor of the inputs' shape and dtype.
    """

    def __init__(self, filters: int, form: str = "pooled", **kwargs: Any) -> None:
        super().__init__(filters, **kwargs)
        self.form = form

    def build(self, input_shape: Any) -> None:
        inner, sizes = matched_shape(self.filters, self.form)
        self.convolution_1 = self._convolution(inner, sizes[0], "convolution_1", use_bias=False)
        self.convolution_2 = self._convolution(self.filters, sizes[1], "convolution_2", use_bias=False)
        self.convolution_1.build(input_shape)
        self.convolution_2.build((*input_shape[:3], inner))

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        x = self.convolution_1(tf.nn.relu(inputs), training=training)
        return inputs + self.convolution_2(tf.nn.relu(x), training=training)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "form": self.form}


def attention_parameter_count(channels: int, form: str) -> int:
    """Trainable parameters of `SelfAttention2D(form)` on `channels` channels, gamma included."""
    narrow = max(channels // 8, 1)
    value = {"pooled": 2 * max(channels // 2, 1), "paper": 2 * narrow, "full": channels}[form]
    return channels * (2 * narrow + value) + 1


def matched_shape(channels: int, form: str) -> tuple[int, tuple[int, int]]:
    """Inner width and the two kernel sizes: the first pair of sizes that comes within 5 %, else the closest pair."""
    wanted = attention_parameter_count(channels, form)
    candidates = []
    for sizes in _KERNEL_SIZES:
        per_inner_channel = channels * (sizes[0] ** 2 + sizes[1] ** 2)
        inner = max(round(wanted / per_inner_channel), 1)
        error = abs(inner * per_inner_channel - wanted) / wanted
        if error <= _TOLERANCE:
            return inner, sizes
        candidates.append((error, inner, sizes))
    _, inner, sizes = min(candidates)
    return inner, sizes
