"""Ranks of the generator.

They show in how many directions latents and classes change its images.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import tensorflow as tf

from sagan_tf.keras_backend import iterate_layers, keras
from sagan_tf.layers import ConditionalBatchNormalization, LatentBatchNormalization
from sagan_tf.layers.stable_rank import compute_stable_rank
from sagan_tf.training.health import signs


def compute_latent_ranks(generator: keras.Model) -> dict[str, float]:
    """Compute singular values and stable ranks of the weights of the latents.

    The weights are the kernel of the first layer and, if the latent vector is split between the first layer and the
    blocks, a matrix of each block.

    Args:
        generator: A network of `build_generator`.

    Returns:
        The stable rank and the largest singular values of the first kernel; the smallest stable rank of the blocks, if
        they take latents; and the mean over all matrices of the stable rank divided by its largest possible value.
    """
    first = _compute_singular_values(tf.convert_to_tensor(_get_kernel(generator.get_layer("dense"))))
    blocks = [_compute_singular_values(matrix) for matrix in _iterate_block_matrices(generator)]
    ranks = [_compute_stable_rank_from_values(values) for values in (first, *blocks)]
    shares = [rank / len(values) for rank, values in zip(ranks, (first, *blocks), strict=True)]
    return {
        signs.LATENT_RANK: ranks[0],
        signs.LATENT_RANK_SHARE: float(np.mean(shares)),
        **dict(zip(signs.SINGULAR_VALUES, first.tolist(), strict=False)),
        **({signs.BLOCK_LATENT_RANK: min(ranks[1:])} if blocks else {}),
    }


def _iterate_block_matrices(generator: keras.Model) -> Iterator[tf.Tensor]:
    """Yield the matrix of each block that takes latents.

    The matrix has the block's linear maps side by side, divided by their sigma. The maps compute the gains and biases
    of the block's batch normalization: float32 [latents of the block, outputs].
    """
    for block in generator.layers:
        layers = [layer for layer in iterate_layers(block) if isinstance(layer, LatentBatchNormalization)]
        maps = [latent_map for layer in layers for latent_map in (layer.latent_gain, layer.latent_bias)]
        if maps:
            basis = tf.eye(_get_kernel(maps[0]).shape[0])
            yield tf.concat([latent_map(basis, training=False) for latent_map in maps], axis=1)


def _get_kernel(layer: keras.layers.Layer) -> keras.Variable:
    return getattr(layer, "layer", layer).kernel  # it may be spectrally normalized


def _compute_singular_values(matrix: tf.Tensor) -> np.ndarray:
    return tf.linalg.svd(matrix, compute_uv=False).numpy()


def _compute_stable_rank_from_values(singular_values: np.ndarray) -> float:
    """Compute the stable rank from singular values in descending order.

    See `layers.stable_rank`.
    """
    largest = singular_values[0]
    return float(np.sum(np.square(singular_values / largest))) if largest else 0.0


def compute_class_table_ranks(generator: keras.Model) -> dict[str, float]:
    """Compute the smallest stable rank of the class tables.

    The mean over the classes is subtracted from a table first. A class table has a row for each class. Tables with
    equal rows, such as initial ones, have no rank and are ignored.

    Args:
        generator: A network of `build_generator`.

    Returns:
        The rank by its name; empty if no table has a rank.
    """
    ranks = [
        float(compute_stable_rank(table - tf.reduce_mean(table, axis=0))) for table in _iterate_class_tables(generator)
    ]
    positive = [rank for rank in ranks if rank > 0]
    return {signs.CLASS_TABLE_RANK: min(positive)} if positive else {}


def _iterate_class_tables(generator: keras.Model) -> Iterator[tf.Tensor]:
    for layer in iterate_layers(generator):
        if isinstance(layer, ConditionalBatchNormalization):
            yield from (tf.convert_to_tensor(layer.gain), tf.convert_to_tensor(layer.bias))
