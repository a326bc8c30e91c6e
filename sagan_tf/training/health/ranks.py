"""Ranks of the generator: through how many directions latents and classes act on its images."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import tensorflow as tf

from sagan_tf.keras_backend import keras
from sagan_tf.layers import ConditionalBatchNormalization, LatentBatchNormalization
from sagan_tf.layers.stable_rank import stable_rank
from sagan_tf.training.health import signs as signs


def latent_ranks(generator: keras.Model) -> dict[str, float]:
    """Read the singular values and the stable ranks of the matrices that latents are multiplied with.

    These are the kernel of the first layer and, where the latent vector is split between the first layer and the
    blocks, a matrix for each block.

    Args:
        generator: A network of `build_generator`.

    Returns:
        The stable rank and the largest singular values of the first kernel; the smallest stable rank of the blocks, if
        they take latents; and the mean over all these matrices of the stable rank, divided by the largest possible one.
    """
    first = _singular_values(tf.convert_to_tensor(_kernel(generator.get_layer("dense"))))
    blocks = [_singular_values(matrix) for matrix in _block_matrices(generator)]
    ranks = [_stable_rank(values) for values in (first, *blocks)]
    shares = [rank / len(values) for rank, values in zip(ranks, (first, *blocks), strict=True)]
    return {
        signs.LATENT_RANK: ranks[0],
        signs.LATENT_RANK_SHARE: float(np.mean(shares)),
        **dict(zip(signs.SINGULAR_VALUES, first.tolist(), strict=False)),
        **({signs.BLOCK_LATENT_RANK: min(ranks[1:])} if blocks else {}),
    }


def _block_matrices(generator: keras.Model) -> Iterator[tf.Tensor]:
    """Yield for each block that takes latents all its maps of latents side by side, divided by their sigma.

    The maps give the gains and biases of the block's batch normalization: float32 [latents of the block, outputs].
    """
    for block in generator.layers:
        layers = [one for one in block._flatten_layers() if isinstance(one, LatentBatchNormalization)]
        maps = [latent_map for one in layers for latent_map in (one.latent_gain, one.latent_bias)]
        if maps:
            basis = tf.eye(_kernel(maps[0]).shape[0])
            yield tf.concat([latent_map(basis, training=False) for latent_map in maps], axis=1)


def _kernel(layer: keras.layers.Layer) -> keras.Variable:
    return getattr(layer, "layer", layer).kernel  # it may be spectrally normalized


def _singular_values(matrix: tf.Tensor) -> np.ndarray:
    return tf.linalg.svd(matrix, compute_uv=False).numpy()


def _stable_rank(singular_values: np.ndarray) -> float:
    """Compute the stable rank, see `layers.stable_rank`, from singular values in descending order."""
    largest = singular_values[0]
    return float(np.sum(np.square(singular_values / largest))) if largest else 0.0


def class_table_ranks(generator: keras.Model) -> dict[str, float]:
    """Read the smallest stable rank of the tables with a row a class, less their mean over the classes.

    Tables whose rows are all equal, as at the beginning, have none and do not count.
    """
    ranks = [float(stable_rank(table - tf.reduce_mean(table, axis=0))) for table in _class_tables(generator)]
    positive = [rank for rank in ranks if rank > 0]
    return {signs.CLASS_TABLE_RANK: min(positive)} if positive else {}


def _class_tables(generator: keras.Model) -> Iterator[tf.Tensor]:
    for layer in generator._flatten_layers():  # Keras has no public way to reach nested layers
        if isinstance(layer, ConditionalBatchNormalization):
            yield from (tf.convert_to_tensor(layer.gain), tf.convert_to_tensor(layer.bias))
