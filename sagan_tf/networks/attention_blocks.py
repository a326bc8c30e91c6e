"""Blocks at attention resolutions: self-attention, or the block that the paper compares it with."""

from __future__ import annotations

from typing import Any

from sagan_tf.config import ModelConfig
from sagan_tf.layers.blockwise_attention import has_large_map
from sagan_tf.layers.self_attention import SelfAttention2D
from sagan_tf.networks.parameter_matched_block import ParameterMatchedBlock


def is_attention_blockwise(config: ModelConfig, size: int) -> bool:
    """Return whether attention is computed in blocks, without a second derivative.

    Args:
        config: The model.
        size: Height and width of the feature map, in pixels.
    """
    keys = size // 2 if config.attention_form == "pooled" else size
    return config.attention_block == "self_attention" and has_large_map(size**2, keys**2)


def apply_attention_block(config: ModelConfig, features: Any, spectral_norm: dict[str, Any] | None, name: str) -> Any:
    """Apply the block that `config.attention_block` selects.

    Args:
        config: The model.
        features: Float [batch, height, width, channels].
        spectral_norm: Options of `SpectralNormalization`; None turns it off.
        name: Name of the layer.

    Returns:
        A tensor of the shape of the features.
    """
    # TF-GAN's example divides attention kernels by sigma even where it divides other kernels by max(1, sigma).
    if spectral_norm is not None:
        spectral_norm = {**spectral_norm, "constraint": "equal"}
    options: dict[str, Any] = {
        "form": config.attention_form,
        "kernel_initializer": config.kernel_initializer,
        "name": name,
    }
    if config.attention_block == "residual":
        return ParameterMatchedBlock(features.shape[-1], spectral_norm=spectral_norm, **options)(features)
    return SelfAttention2D(spectral_norm=spectral_norm, **options)(features)
