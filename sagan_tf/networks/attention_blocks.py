"""Blocks at attention resolutions: self-attention, or the block that the paper compares it with.

Add a kind of block as one entry of `ATTENTION_BLOCKS`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import keras

from sagan_tf.config import ModelConfig
from sagan_tf.config.option import check_registered
from sagan_tf.layers.attention_forms import ATTENTION_FORMS
from sagan_tf.layers.blockwise_attention import has_large_map
from sagan_tf.layers.self_attention import SelfAttention2D
from sagan_tf.networks.parameter_matched_block import ParameterMatchedBlock


@dataclasses.dataclass(frozen=True, kw_only=True)
class AttentionBlock:
    """A kind of block at attention resolutions.

    Attributes:
        create: Creates the layer from the number of channels and keyword arguments (`form`, `spectral_norm`,
            `kernel_initializer` and `name`).
        has_attention_map: Whether the layer computes an attention map, which may be too large to be kept in memory.
    """

    create: Callable[..., keras.layers.Layer]
    has_attention_map: bool


ATTENTION_BLOCKS: dict[str, AttentionBlock] = {
    "self_attention": AttentionBlock(
        create=lambda channels, **options: SelfAttention2D(**options), has_attention_map=True
    ),
    "residual": AttentionBlock(create=ParameterMatchedBlock, has_attention_map=False),
}


def is_attention_blockwise(config: ModelConfig, size: int) -> bool:
    """Return whether attention is computed in blocks, without a second derivative.

    Args:
        config: The model.
        size: Height and width of the feature map, in pixels.
    """
    keys = ATTENTION_FORMS[config.attention_form].compute_key_size(size)
    return ATTENTION_BLOCKS[config.attention_block].has_attention_map and has_large_map(size**2, keys**2)


def apply_attention_block(config: ModelConfig, features: Any, spectral_norm: dict[str, Any] | None, name: str) -> Any:
    """Apply the block that `config.attention_block` selects.

    Args:
        config: The model.
        features: Float [batch, height, width, channels].
        spectral_norm: Options of `SpectralNormalization`; None turns it off.
        name: Name of the layer.

    Returns:
        A tensor of the shape of the features.

    Raises:
        UserError: The kind of block or the form of attention is unknown.
    """
    check_registered("attention_block", config.attention_block, ATTENTION_BLOCKS)
    check_registered("attention_form", config.attention_form, ATTENTION_FORMS)
    # TF-GAN's example divides attention kernels by sigma even where it divides other kernels by max(1, sigma).
    if spectral_norm is not None:
        spectral_norm = {**spectral_norm, "constraint": "equal"}
    layer = ATTENTION_BLOCKS[config.attention_block].create(
        features.shape[-1],
        form=config.attention_form,
        spectral_norm=spectral_norm,
        kernel_initializer=config.kernel_initializer,
        name=name,
    )
    return layer(features)
