"""Attention maps of a network's layers for given inputs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from sagan_tf.keras_backend import keras
from sagan_tf.layers.self_attention import SelfAttention2D
from sagan_tf.visualization.attention_maps import ImageAttention, LayerAttention

_MAX_QUERIES_PER_CALL = 1024
"""Queries whose maps are computed together. With full attention at 64 by 64, each map has 4,096 numbers."""


class AttentionReader:
    """Attention maps of a network in inference mode.

    Args:
        network: A network made by `build_generator` or `build_discriminator`.

    Attributes:
        sizes: Height and width of the feature map of each attention layer, by layer name. Empty if the network has no
            attention layers.
    """

    def __init__(self, network: keras.Model) -> None:
        self._layers = {layer.name: layer for layer in network.layers if isinstance(layer, SelfAttention2D)}
        self.sizes: dict[str, tuple[int, int]] = {
            name: tuple(layer.input.shape[1:3]) for name, layer in self._layers.items()
        }
        inputs = {name: layer.input for name, layer in self._layers.items()}
        self._features = keras.Model(network.inputs, inputs) if inputs else None

    def compute_features(self, inputs: Sequence[tf.Tensor]) -> dict[str, tf.Tensor]:
        """Compute the input of each attention layer.

        Args:
            inputs: Inputs of the network, each [batch, ...].

        Returns:
            Features [batch, height, width, channels] by layer name.
        """
        return {} if self._features is None else self._features(list(inputs), training=False)

    def compute_maps(self, name: str, features: tf.Tensor, queries: np.ndarray) -> np.ndarray:
        """Compute the attention maps of some queries.

        Args:
            name: Name of the layer.
            features: Features of this layer, from `compute_features`.
            queries: Row and column in the layer's feature map, int32 [n, 2]. All images use the same queries.

        Returns:
            Attention maps, float32 [batch, n, key_height, key_width]. Each map sums to 1.
        """
        batch = features.shape[0]
        parts = [
            queries[start : start + _MAX_QUERIES_PER_CALL] for start in range(0, len(queries), _MAX_QUERIES_PER_CALL)
        ]
        maps = [
            self._layers[name]
            .compute_attention_rows(features, tf.constant(np.tile(part, (batch, 1, 1)), tf.int32))
            .numpy()
            for part in parts
        ]
        return np.concatenate(maps, axis=1)


def compute_image_attention(
    reader: AttentionReader,
    inputs: Sequence[tf.Tensor],
    images: np.ndarray,
    names: Sequence[str],
    max_queries_per_side: int = 32,
) -> list[ImageAttention]:
    """Compute the attention maps of each image in every attention layer.

    Args:
        reader: Reader of the network's attention maps.
        inputs: Inputs of the network, each [n, ...].
        images: Images that a generator makes from the inputs or that a discriminator receives, uint8
            [n, height, width, channels].
        names: Names of the images.
        max_queries_per_side: Maximum number of queries along each side of a feature map.

    Returns:
        One element per image. Its `layers` are empty if the network has no attention layers.
    """
    queries = {name: make_query_grid(size, max_queries_per_side) for name, size in reader.sizes.items()}
    attention = []
    for index, image in enumerate(images):  # one image at a time, because a map is as large as many images
        features = reader.compute_features([tensor[index : index + 1] for tensor in inputs])
        layers = (
            LayerAttention(name, size, queries[name], reader.compute_maps(name, features[name], queries[name])[0])
            for name, size in reader.sizes.items()
        )
        attention.append(ImageAttention(image, names[index], tuple(layers)))
    return attention


def make_query_grid(size: tuple[int, int], max_per_side: int | None = None) -> np.ndarray:
    """Make an evenly spaced grid of queries in a feature map.

    Args:
        size: Height and width of the feature map.
        max_per_side: Maximum number of queries along each side; None uses every location.

    Returns:
        Row and column of each query, row by row, int32 [n, 2].
    """
    height, width = (np.unique(np.linspace(0, side - 1, min(side, max_per_side or side)).astype(int)) for side in size)
    return np.stack(np.meshgrid(height, width, indexing="ij"), axis=-1).reshape(-1, 2).astype(np.int32)
