"""The residual blocks of SNGAN and SAGAN, and the block that stands in for attention in the paper's control.

References: Miyato et al., ICLR 2018, appendix; Zhang et al., ICML 2019, section 4.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import tensorflow as tf

from sagan_tf.layers.batch_normalization import BatchNormalization
from sagan_tf.layers.conditional_batch_normalization import ConditionalBatchNormalization
from sagan_tf.layers.spectral_normalization import spectrally_normalized


class Block(keras.layers.Layer):
    """What all blocks have: a width and the options of their convolutions.

    Args:
        filters: channels of the output.
        spectral_norm: options of `SpectralNormalization` for the convolutions; None leaves them plain.
        kernel_initializer: of the convolutions.
    """

    def __init__(
        self,
        filters: int,
        spectral_norm: Mapping[str, Any] | None = None,
        kernel_initializer: str = "glorot_uniform",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.filters = filters
        self.spectral_norm = None if spectral_norm is None else dict(spectral_norm)
        self.kernel_initializer = kernel_initializer

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "filters": self.filters,
            "spectral_norm": self.spectral_norm,
            "kernel_initializer": self.kernel_initializer,
        }

    def _convolution(
        self,
        filters: int,
        size: int,
        name: str,
        layer: type[keras.layers.Layer] = keras.layers.Conv2D,
        **options: Any,
    ) -> keras.layers.Layer:
        convolution = layer(
            filters,
            size,
            padding="same",
            kernel_initializer=self.kernel_initializer,
            dtype=self.dtype_policy,
            name=name,
            **options,
        )
        return spectrally_normalized(convolution, self.spectral_norm)


class ConditionedBlock(Block):
    """A generator block: doubles the feature map; its normalisation may depend on the class.

    Args:
        num_classes: rows of the batch-norm tables; 0 for batch normalisation that doesn't know classes.
        batch_norm: options of the batch normalisation.

    Call arguments:
        inputs: a pair: [batch, height, width, channels] float, and labels int32 [batch].

    Returns:
        [batch, 2 * height, 2 * width, filters].
    """

    def __init__(
        self, filters: int, num_classes: int = 0, batch_norm: Mapping[str, Any] | None = None, **kwargs: Any
    ) -> None:
        super().__init__(filters, **kwargs)
        self.num_classes = num_classes
        self.batch_norm = dict(batch_norm or {})

    def compute_output_shape(self, input_shape: Any) -> Any:
        batch, height, width, _ = input_shape[0]
        return (batch, 2 * height, 2 * width, self.filters)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "num_classes": self.num_classes, "batch_norm": self.batch_norm}

    def _normalization(self, name: str) -> keras.layers.Layer:
        options = {**self.batch_norm, "dtype": self.dtype_policy, "name": name}
        if self.num_classes:
            return ConditionalBatchNormalization(self.num_classes, **options)
        return BatchNormalization(**options)

    def _build_normalization(self, layer: keras.layers.Layer, features: Any, labels: Any) -> None:
        layer.build((features, labels) if self.num_classes else features)

    def _normalize(
        self, layer: keras.layers.Layer, features: tf.Tensor, labels: tf.Tensor, training: bool
    ) -> tf.Tensor:
        inputs = (features, labels) if self.num_classes else features
        return tf.nn.relu(layer(inputs, training=training))


@keras.saving.register_keras_serializable(package="sagan_tf")
class GeneratorBlock(ConditionedBlock):
    """norm, ReLU, up 2x, conv 3x3, norm, ReLU, conv 3x3; shortcut: up 2x, conv 1x1. Arguments: `ConditionedBlock`."""

    def build(self, input_shape: Any) -> None:
        features, labels = input_shape
        outputs = self.compute_output_shape(input_shape)
        upsampled = (*outputs[:3], features[-1])
        self.normalization_1 = self._normalization("normalization_1")
        self.convolution_1 = self._convolution(self.filters, 3, "convolution_1")
        self.normalization_2 = self._normalization("normalization_2")
        self.convolution_2 = self._convolution(self.filters, 3, "convolution_2")
        self.shortcut = self._convolution(self.filters, 1, "shortcut")
        self._build_normalization(self.normalization_1, features, labels)
        self.convolution_1.build(upsampled)
        self._build_normalization(self.normalization_2, outputs, labels)
        self.convolution_2.build(outputs)
        self.shortcut.build(features)

    def call(self, inputs: tuple[tf.Tensor, tf.Tensor], training: bool = False) -> tf.Tensor:
        features, labels = inputs
        x = self._normalize(self.normalization_1, features, labels, training)
        x = self.convolution_1(upsample(x), training=training)
        x = self._normalize(self.normalization_2, x, labels, training)
        x = self.convolution_2(x, training=training)
        # A 1x1 convolution and nearest-neighbour upsampling commute: convolving first costs a quarter.
        return x + upsample(self.shortcut(features, training=training))


@keras.saving.register_keras_serializable(package="sagan_tf")
class DiscriminatorBlock(Block):
    """(ReLU,) conv 3x3, ReLU, conv 3x3, average pool; shortcut: conv 1x1 and average pool.

    Args:
        filters, spectral_norm, kernel_initializer: as for `Block`.
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
        self.convolution_1 = self._convolution(self.filters, 3, "convolution_1")
        self.convolution_2 = self._convolution(self.filters, 3, "convolution_2")
        self.convolution_1.build(input_shape)
        self.convolution_2.build(inside)
        self.shortcut = None
        if self.downsample or input_shape[-1] != self.filters:
            self.shortcut = self._convolution(self.filters, 1, "shortcut")
            self.shortcut.build(input_shape)

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        x = tf.nn.relu(inputs) if self.preactivation else inputs
        x = self.convolution_1(x, training=training)
        x = self.convolution_2(tf.nn.relu(x), training=training)
        # A 1x1 convolution and average pooling commute: pooling first costs a quarter.
        shortcut = inputs
        if self.downsample:
            x, shortcut = downsample(x), downsample(shortcut)
        if self.shortcut is not None:
            shortcut = self.shortcut(shortcut, training=training)
        return x + shortcut

    def compute_output_shape(self, input_shape: Any) -> Any:
        batch, height, width, _ = input_shape
        divisor = 2 if self.downsample else 1
        return (batch, height // divisor, width // divisor, self.filters)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "downsample": self.downsample, "preactivation": self.preactivation}


def upsample(features: tf.Tensor) -> tf.Tensor:
    """Doubles height and width, each value repeated: [b, h, w, c] -> [b, 2h, 2w, c]."""
    return tf.repeat(tf.repeat(features, 2, axis=1), 2, axis=2)


def downsample(features: tf.Tensor) -> tf.Tensor:
    """Means of 2x2 squares: [b, h, w, c] -> [b, h/2, w/2, c]."""
    return tf.nn.avg_pool2d(features, 2, 2, "VALID")
