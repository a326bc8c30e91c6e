"""Where a network looks: the attention maps of its layers, for the inputs it is given."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from sagan_tf.keras_backend import keras
from sagan_tf.layers.self_attention import SelfAttention2D
from sagan_tf.visualization.attention_maps import AttendedPicture, LayerMaps

_QUERIES_AT_ONCE = 1024
"""Rows of a map computed together: of 64 by 64 locations in full, 4,096 numbers each."""


class AttentionReader:
    """Reads the attention maps of a network at inference.

    Args:
        network: of `build_generator` or `build_discriminator`.

    Attributes:
        sizes: height and width of the feature map of every attention layer, by the layer's name; empty if it has none.
    """

    def __init__(self, network: keras.Model) -> None:
        self._layers = {layer.name: layer for layer in network.layers if isinstance(layer, SelfAttention2D)}
        self.sizes: dict[str, tuple[int, int]] = {
            name: tuple(layer.input.shape[1:3]) for name, layer in self._layers.items()
        }
        inputs = {name: layer.input for name, layer in self._layers.items()}
        self._features = keras.Model(network.inputs, inputs) if inputs else None

    def features(self, inputs: Sequence[tf.Tensor]) -> dict[str, tf.Tensor]:
        """Return what every attention layer is given, [batch, height, width, channels], for the network's inputs."""
        return {} if self._features is None else self._features(list(inputs), training=False)

    def rows(self, name: str, features: tf.Tensor, queries: np.ndarray) -> np.ndarray:
        """Where some locations of each picture look.

        Args:
            name: of the layer.
            features: what `features` gave for it.
            queries: int32 [n, 2], row and column in the layer's feature map: the same for all pictures.

        Returns:
            float32 [batch, n, key_height, key_width]; each [key_height, key_width] sums to 1.
        """
        batch = features.shape[0]
        parts = [queries[start : start + _QUERIES_AT_ONCE] for start in range(0, len(queries), _QUERIES_AT_ONCE)]
        rows = [
            self._layers[name].attention_rows(features, tf.constant(np.tile(part, (batch, 1, 1)), tf.int32)).numpy()
            for part in parts
        ]
        return np.concatenate(rows, axis=1)


def attended_pictures(
    reader: AttentionReader,
    inputs: Sequence[tf.Tensor],
    images: np.ndarray,
    names: Sequence[str],
    most_a_side: int = 32,
) -> list[AttendedPicture]:
    """Pictures with the maps of every attention layer of a network.

    Args:
        reader: of the network.
        inputs: what the network is given, each [n, ...].
        images: uint8 [n, height, width, channels], the pictures that it makes of them or judges.
        names: of the pictures.
        most_a_side: locations of a feature map that are asked, along each side.

    Returns:
        A picture each; without layers if the network has no attention.
    """
    queries = {name: all_queries(size, most_a_side) for name, size in reader.sizes.items()}
    pictures = []
    for index, image in enumerate(images):  # one by one: a map is as large as many pictures
        features = reader.features([one[index : index + 1] for one in inputs])
        layers = (
            LayerMaps(name, size, queries[name], reader.rows(name, features[name], queries[name])[0])
            for name, size in reader.sizes.items()
        )
        pictures.append(AttendedPicture(image, names[index], tuple(layers)))
    return pictures


def all_queries(size: tuple[int, int], most_a_side: int | None = None) -> np.ndarray:
    """Return the locations of a feature map, int32 [n, 2], evenly spread, with at most so many on a side."""
    height, width = (np.unique(np.linspace(0, side - 1, min(side, most_a_side or side)).astype(int)) for side in size)
    return np.stack(np.meshgrid(height, width, indexing="ij"), axis=-1).reshape(-1, 2).astype(np.int32)
