"""Keras layers of Self-Attention GANs, which are independent of GAN training."""

# ruff: noqa: E402 - Keras must be loaded with its backend before any module imports it
from sagan_tf.environment.keras_settings import load_keras

load_keras()

from sagan_tf.layers.batch_normalization import BatchNormalization
from sagan_tf.layers.conditional_batch_normalization import ConditionalBatchNormalization
from sagan_tf.layers.convolutions.resampling import ResamplingConvolution
from sagan_tf.layers.latent_batch_normalization import LatentBatchNormalization
from sagan_tf.layers.minibatch_statistics import MinibatchStatistics
from sagan_tf.layers.moving_statistics import average_moving_statistics
from sagan_tf.layers.self_attention import SelfAttention2D
from sagan_tf.layers.spectral_normalization import SpectralNormalization

__all__ = [
    "BatchNormalization",
    "ConditionalBatchNormalization",
    "LatentBatchNormalization",
    "MinibatchStatistics",
    "ResamplingConvolution",
    "SelfAttention2D",
    "SpectralNormalization",
    "average_moving_statistics",
]
