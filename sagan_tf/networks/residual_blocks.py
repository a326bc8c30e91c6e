"""The residual blocks of SNGAN and SAGAN.

References: Miyato et al., ICLR 2018, appendix; Zhang et al., ICML 2019, section 4.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from sagan_tf.networks.blocks import Block, ConditionedBlock


@keras.saving.register_keras_serializable(package="sagan_tf")
class GeneratorBlock(ConditionedBlock):
    """norm, ReLU, up 2x, conv 3x3, norm, ReLU, conv 3x3; shortcut: up 2x, conv 1x1. Arguments: `ConditionedBlock`."""

    def build(self, input_shape: Any) -> None:
        features, *conditions = input_shape
        outputs = self.compute_output_shape(input_shape)
        self.normalization_1 = self._normalization("normalization_1", features, conditions)
        self.convolution_1 = self._resampling_convolution(3, "convolution_1", "up")
        self.normalization_2 = self._normalization("normalization_2", outputs, conditions)
        self.convolution_2 = self._resampling_convolution(3, "convolution_2")
        self.shortcut = self._resampling_convolution(1, "shortcut", "up")
        self.convolution_1.build(features)
        self.convolution_2.build(outputs)
        self.shortcut.build(features)

    def call(self, inputs: Sequence[tf.Tensor], training: bool = False) -> tf.Tensor:
        features, *conditions = inputs
        x = self._normalize(self.normalization_1, features, conditions, training)
        x = self.convolution_1(x, training=training)
        x = self._normalize(self.normalization_2, x, conditions, training)
        x = self.convolution_2(x, training=training)
        return x + self.shortcut(features, training=training)


@keras.saving.register_keras_serializable(package="sagan_tf")
class DiscriminatorBlock(Block):
    """(ReLU,) conv 3x3, ReLU, conv 3x3, average pool; shortcut: conv 1x1 and average pool.

    Args:
        filters, spectral_norm, kernel_initializer, convolution_form: as for `Block`.
        downsample: whether to halve the feature map. If not, and the width stays, the shortcut is the identity.
        preactivation: whether to begin with a ReLU: not in the first block, whose input is an image.

    Call arguments:
        inputs: [batch, height, width, channels] float.

    Returns:
        [batch, height / 2, width / 2, filters], or without downsampling [batch, height, width, filters].
    """

    def __init__(self, filters: int, downsample: bool = True, preactivation: bool = True, **kwargs: Any) -> None:
        super().__init__(filters, **kwargs)
        self.downsample = downsample
        self.preactivation = preactivation

    def build(self, input_shape: Any) -> None:
        inside = (*input_shape[:3], self.filters)
        resampling = "down" if self.downsample else "none"
        self.convolution_1 = self._resampling_convolution(3, "convolution_1")
        self.convolution_1.build(input_shape)
        self.convolution_2 = self._resampling_convolution(3, "convolution_2", resampling)
        self.convolution_2.build(inside)
        self.shortcut = None
        if self.downsample or input_shape[-1] != self.filters:
            self.shortcut = self._resampling_convolution(1, "shortcut", resampling)
            self.shortcut.build(input_shape)

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        x = tf.nn.relu(inputs) if self.preactivation else inputs
        x = self.convolution_1(x, training=training)
        x = self.convolution_2(tf.nn.relu(x), training=training)
        return x + (inputs if self.shortcut is None else self.shortcut(inputs, training=training))

    def compute_output_shape(self, input_shape: Any) -> Any:
        batch, height, width, _ = input_shape
        divisor = 2 if self.downsample else 1
        return (batch, height // divisor, width // divisor, self.filters)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "downsample": self.downsample, "preactivation": self.preactivation}
