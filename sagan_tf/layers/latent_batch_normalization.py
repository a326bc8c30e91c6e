"""Batch normalization whose gain and bias depend on the class and on a part of the latent vector.

Reference: Brock et al., Large Scale GAN Training for High Fidelity Natural Image Synthesis, ICLR 2019, appendix B.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import tensorflow as tf

from sagan_tf.layers.batch_normalization import affine
from sagan_tf.layers.conditional_batch_normalization import ConditionalBatchNormalization
from sagan_tf.layers.spectral_normalization import spectrally_normalized


@keras.saving.register_keras_serializable(package="sagan_tf")
class LatentBatchNormalization(ConditionalBatchNormalization):
    """Conditional batch normalization to whose gain and bias linear functions of latents are added.

    gain = gain_table[label] + latents @ W_gain and bias = bias_table[label] + latents @ W_bias. This is the form of
    BigGAN, which concatenates latents and a class embedding and maps both linearly, but for two differences: every
    layer has its own class tables instead of one embedding that all layers share, and only the maps of the latents, not
    the class tables, are spectrally normalized.

    Args:
        num_classes: Rows of the two tables, at least 1.
        spectral_norm: Options of `SpectralNormalization` for the two maps; None leaves them plain.
        kernel_initializer: Initializer of the two maps, which have no bias.
        momentum, epsilon, synchronized: As for `BatchNormalization`.

    Call arguments:
        inputs: Three tensors: features float [batch, height, width, channels], labels int32 [batch] in
            [0, num_classes), and latents float [batch, latent size].
        training: Whether to use the statistics of the batch and to move the moving ones.

    Returns:
        A tensor of the shape and dtype of the features.

    Raises:
        ValueError: If `num_classes` is below 1.
    """

    def __init__(
        self,
        num_classes: int,
        spectral_norm: Mapping[str, Any] | None = None,
        kernel_initializer: str = "glorot_uniform",
        **kwargs: Any,
    ) -> None:
        super().__init__(num_classes, **kwargs)
        self.spectral_norm = None if spectral_norm is None else dict(spectral_norm)
        self.kernel_initializer = kernel_initializer

    def build(self, input_shape: Any) -> None:
        features, labels, latents = input_shape
        super().build((features, labels))
        self.latent_gain = self._build_map("latent_gain", latents, features[-1])
        self.latent_bias = self._build_map("latent_bias", latents, features[-1])

    def call(self, inputs: tuple[tf.Tensor, ...], training: bool = False) -> tf.Tensor:
        features, labels, latents = inputs
        latents = tf.cast(latents, tf.float32)
        frozen = None if training else self._folded
        gain, bias = (self.gain, self.bias) if frozen is None else frozen[2:]
        if frozen is None:
            labels = tf.cast(labels, tf.int64)  # as in `ConditionalBatchNormalization`
        gain = tf.gather(tf.convert_to_tensor(gain), labels) + self.latent_gain(latents, training=training)
        bias = tf.gather(tf.convert_to_tensor(bias), labels) + self.latent_bias(latents, training=training)
        if frozen is not None:
            mean, variance, _, _ = frozen
            return affine(features, mean, variance, gain, bias)
        return self._normalize(features, gain, bias, training)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "spectral_norm": self.spectral_norm,
            "kernel_initializer": self.kernel_initializer,
        }

    def _fold(self) -> tuple[tf.Tensor, ...]:
        # Gain and bias of an image are not known before its latents, so that statistics cannot be multiplied in.
        return self._inference_values()

    def _build_map(self, name: str, latents: Any, channels: int) -> keras.layers.Layer:
        # float32 in every precision, as the tables are.
        options = {"kernel_initializer": self.kernel_initializer, "dtype": "float32", "name": name}
        dense = spectrally_normalized(keras.layers.Dense(channels, use_bias=False, **options), self.spectral_norm)
        dense.build(latents)
        return dense
