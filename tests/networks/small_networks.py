"""Small networks, their inputs, and functions that search their layers."""

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

from sagan_tf.config import ModelConfig
from sagan_tf.layers import SpectralNormalization
from sagan_tf.networks.architectures import ARCHITECTURES

Array = np.ndarray

NORMALIZED_KINDS = (keras.layers.Conv2D, keras.layers.Conv2DTranspose, keras.layers.Dense, keras.layers.Embedding)


def small_config(**options: Any) -> ModelConfig:
    """Return a model of 32 px, 4 base channels and 3 classes.

    It has attention and spectral normalization of the generator if its architecture allows them.
    """
    has_attention = ARCHITECTURES[options.get("architecture", "sagan")].attention
    defaults: dict[str, Any] = {
        "resolution": 32,
        "num_classes": 3,
        "base_channels": 4,
        "latent_dim": 6,
        "attention_resolutions": (16,) if has_attention else (),
        "generator_spectral_norm": has_attention,
    }
    return ModelConfig(**{**defaults, **options})


def latents(batch: int = 3, config: ModelConfig | None = None) -> Array:
    size = (batch, (config or small_config()).latent_dim)
    return np.random.default_rng(1).normal(size=size).astype(np.float32)


def images(batch: int = 3, config: ModelConfig | None = None) -> Array:
    config = config or small_config()
    size = (batch, config.resolution, config.resolution, config.image_channels)
    return np.random.default_rng(2).uniform(-1.0, 1.0, size=size).astype(np.float32)


def labels(batch: int = 3) -> Array:
    return (np.arange(batch) % 3).astype(np.int32)


def stir(network: keras.Model, seed: int = 3) -> None:
    """Change every weight, so that initial zeros and ones cannot hide errors; variances stay positive."""
    generator = np.random.default_rng(seed)
    for variable in network.variables:
        noise = generator.normal(0.0, 0.2, size=variable.shape)
        variable.assign(np.abs(variable.numpy() + noise) if "variance" in variable.name else variable + noise)


def leaves(network: keras.layers.Layer) -> Iterator[tuple[str, keras.layers.Layer]]:
    """Yield the path and the wrapper or layer of everything that spectral normalization may wrap."""
    for layer in network._flatten_layers(include_self=False, recursive=False):
        if isinstance(layer, (*NORMALIZED_KINDS, SpectralNormalization)):
            yield layer.path, layer
        else:
            yield from leaves(layer)


def names_of(network: keras.Model, kind: type[keras.layers.Layer]) -> list[str]:
    return [layer.name for layer in network.layers if isinstance(layer, kind)]
