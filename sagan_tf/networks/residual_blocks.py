"""Residual blocks of SNGAN and SAGAN.

References: Miyato et al., Spectral Normalization for Generative Adversarial Networks, ICLR 2018, appendix; Miyato &
Koyama, cGANs with Projection Discriminator, ICLR 2018, and its code, pfnet-research/sngan_projection; Zhang et al.,
Self-Attention Generative Adversarial Networks, ICML 2019, section 4.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from sagan_tf.networks.blocks import Block, ConditionedBlock


@keras.saving.register_keras_serializable(package="sagan_tf")
class GeneratorBlock(ConditionedBlock):
    """A residual block of the generator.

    The main path is: batch normalization, ReLU, 2x upsampling, 3x3 convolution, batch normalization, ReLU, 3x3
    convolution. The shortcut is: 2x upsampling, 1x1 convolution. The arguments are those of `ConditionedBlock`.
    """

    def build(self, input_shape: Any) -> None:
        """Create the layers of the block."""
        features, *conditions = input_shape
        outputs = self.compute_output_shape(input_shape)
        self.normalization_1 = self._build_normalization("normalization_1", features, conditions)
        self.convolution_1 = self._create_resampling_convolution(3, "convolution_1", "up")
        self.normalization_2 = self._build_normalization("normalization_2", outputs, conditions)
        self.convolution_2 = self._create_resampling_convolution(3, "convolution_2")
        self.shortcut = self._create_resampling_convolution(1, "shortcut", "up")
        self.convolution_1.build(features)
        self.convolution_2.build(outputs)
        self.shortcut.build(features)

    def call(self, inputs: Sequence[tf.Tensor], training: bool = False) -> tf.Tensor:
        """Apply the block."""
        features, *conditions = inputs
        x = self._normalize_and_activate(self.normalization_1, features, conditions, training)
        x = self.convolution_1(x, training=training)
        x = self._normalize_and_activate(self.normalization_2, x, conditions, training)
        x = self.convolution_2(x, training=training)
        return x + self.shortcut(features, training=training)


@keras.saving.register_keras_serializable(package="sagan_tf")
class DiscriminatorBlock(Block):
    """A residual block of the discriminator.

    The main path is: ReLU (if `preactivation`), 3x3 convolution, ReLU, 3x3 convolution, average pooling. The shortcut
    is: 1x1 convolution, average pooling.

    Args:
        filters, spectral_norm, kernel_initializer, convolution_form: As for `Block`.
        downsample: Whether to halve the height and width of the feature map. If false and the number of channels does
            not change, there is no pooling and the shortcut is the identity.
        preactivation: Whether to begin with a ReLU. The first block does not, because its input is an image.
        hidden_filters: Number of channels between the two 3x3 convolutions; 0 means `filters`.

    Call arguments:
        inputs: Float [batch, height, width, channels].

    Returns:
        [batch, height / 2, width / 2, filters], or [batch, height, width, filters] without downsampling.
    """

    def __init__(
        self,
        filters: int,
        downsample: bool = True,
        preactivation: bool = True,
        hidden_filters: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(filters, **kwargs)
        self.downsample = downsample
        self.preactivation = preactivation
        self.hidden_filters = hidden_filters or filters

    def build(self, input_shape: Any) -> None:
        """Create the layers of the block."""
        inside = (*input_shape[:3], self.hidden_filters)
        resampling = "down" if self.downsample else "none"
        self.convolution_1 = self._create_resampling_convolution(3, "convolution_1", filters=self.hidden_filters)
        self.convolution_1.build(input_shape)
        self.convolution_2 = self._create_resampling_convolution(3, "convolution_2", resampling)
        self.convolution_2.build(inside)
        self.shortcut = None
        if self.downsample or input_shape[-1] != self.filters:
            self.shortcut = self._create_resampling_convolution(1, "shortcut", resampling)
            self.shortcut.build(input_shape)

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Apply the block."""
        x = tf.nn.relu(inputs) if self.preactivation else inputs
        x = self.convolution_1(x, training=training)
        x = self.convolution_2(tf.nn.relu(x), training=training)
        return x + (inputs if self.shortcut is None else self.shortcut(inputs, training=training))

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return the shape of the outputs."""
        batch, height, width, _ = input_shape
        divisor = 2 if self.downsample else 1
        return (batch, height // divisor, width // divisor, self.filters)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments."""
        return {
            **super().get_config(),
            "downsample": self.downsample,
            "preactivation": self.preactivation,
            "hidden_filters": self.hidden_filters,
        }
