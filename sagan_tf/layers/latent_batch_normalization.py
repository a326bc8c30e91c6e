"""Batch normalization with a gamma and beta that depend on the class and on a part of the latent vector.

Reference: Brock et al., Large Scale GAN Training for High Fidelity Natural Image Synthesis, ICLR 2019, appendix B.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import tensorflow as tf

from sagan_tf.layers.conditional_batch_normalization import ConditionalBatchNormalization
from sagan_tf.layers.normalization import normalize
from sagan_tf.layers.spectral_normalization import apply_spectral_normalization


@keras.saving.register_keras_serializable(package="sagan_tf")
class LatentBatchNormalization(ConditionalBatchNormalization):
    """Conditional batch normalization with linear functions of latents added to gamma and beta.

    gamma = gamma_table[label] + latents @ W_gamma and beta = beta_table[label] + latents @ W_beta. This is the form of
    BigGAN, which concatenates latents and a class embedding and maps both linearly, with two differences: every layer
    has its own class tables instead of one embedding shared by all layers, and only the maps of the latents are
    spectrally normalized, not the class tables.

    Args:
        num_classes: Number of rows of the two tables, at least 1.
        spectral_norm: Options of `SpectralNormalization` for the two maps; None turns it off.
        kernel_initializer: Initializer of the two maps, which have no bias.
        momentum, epsilon, synchronized: As for `BatchNormalization`.

    Call arguments:
        inputs: Three tensors: features, float [batch, height, width, channels]; labels, int32 [batch] in
            [0, num_classes); and latents, float [batch, latent size].
        training: Whether to use the statistics of the batch and to update the moving statistics.

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
        """Create the class tables, the moving statistics and the maps of the latents."""
        features, labels, latents = input_shape
        super().build((features, labels))
        self.latent_gain = self._build_map("latent_gain", latents, features[-1])
        self.latent_bias = self._build_map("latent_bias", latents, features[-1])

    def call(self, inputs: tuple[tf.Tensor, ...], training: bool = False) -> tf.Tensor:
        """Normalize the features with the gamma and beta of their labels and latents."""
        features, labels, latents = inputs
        latents = tf.cast(latents, tf.float32)
        frozen = None if training else self._frozen_values
        gamma, beta = (self.gain, self.bias) if frozen is None else frozen[2:]
        if frozen is None:
            # int64, because a GPU needs the host to compute the gradient of a lookup by int32 labels.
            labels = tf.cast(labels, tf.int64)
        gamma = tf.gather(tf.convert_to_tensor(gamma), labels) + self.latent_gain(latents, training=training)
        beta = tf.gather(tf.convert_to_tensor(beta), labels) + self.latent_bias(latents, training=training)
        if frozen is not None:
            mean, variance, _, _ = frozen
            return normalize(features, mean, variance, gamma, beta)
        return self._normalize(features, gamma, beta, training)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments."""
        return {
            **super().get_config(),
            "spectral_norm": self.spectral_norm,
            "kernel_initializer": self.kernel_initializer,
        }

    def _compute_frozen_values(self) -> tuple[tf.Tensor, ...]:
        # Gamma and beta depend on the latents of each image, so they cannot be combined with the statistics here.
        return self.read_inference_values()

    def _build_map(self, name: str, latents: Any, channels: int) -> keras.layers.Layer:
        # The maps are float32 in every precision, as the tables are.
        options = {"kernel_initializer": self.kernel_initializer, "dtype": "float32", "name": name}
        dense = apply_spectral_normalization(
            keras.layers.Dense(channels, use_bias=False, **options), self.spectral_norm
        )
        dense.build(latents)
        return dense
