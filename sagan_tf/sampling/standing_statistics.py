"""Standing statistics: batch normalisation's statistics of exactly the pictures that are asked for.

Moving statistics are of training, of all its latents and weights. Under truncation, features are others. Reference:
Brock et al., Large scale GAN training, ICLR 2019, appendix D.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import numpy as np
import tensorflow as tf

from sagan_tf.generation.inference import folded
from sagan_tf.generation.latents import latents_of_seeds
from sagan_tf.keras_backend import keras
from sagan_tf.layers.batch_normalization import BatchNormalization

_FIRST_SEED = 2**62
"""Beyond those that users may give: the statistics are not of the pictures that will be looked at."""
BATCH_SIZE = 64


def use_standing_statistics(
    network: keras.Model, labels: list[int], batches: int, truncation: float, latent_dim: int
) -> None:
    """Replace a generator's moving means and variances by the means of those of some batches.

    Args:
        network: of `build_generator`.
        labels: the classes, which take turns.
        batches: how many, of `BATCH_SIZE` pictures each.
        truncation: of the latents.
        latent_dim: length of a latent vector.
    """
    layers = [layer for layer in network._flatten_layers() if isinstance(layer, BatchNormalization)]
    variables = [variable for layer in layers for variable in (layer.moving_mean, layer.moving_variance)]
    sums = [np.zeros(variable.shape, np.float64) for variable in variables]
    with _forgetting(layers), folded(network):
        run = tf.function(lambda latents, labels: network([latents, labels], training=True), autograph=False)
        for batch in range(batches):
            places: np.ndarray = batch * BATCH_SIZE + np.arange(BATCH_SIZE)
            latents = latents_of_seeds(_FIRST_SEED + places, latent_dim, truncation)
            run(latents, tf.constant(np.array(labels)[places % len(labels)], tf.int32))
            for total, variable in zip(sums, variables, strict=True):
                total += np.asarray(variable)
    for total, variable in zip(sums, variables, strict=True):
        variable.assign(total / batches)


@contextlib.contextmanager
def _forgetting(layers: list[BatchNormalization]) -> Iterator[None]:
    """Moving statistics are those of the last batch alone."""
    momenta = [layer.momentum for layer in layers]
    for layer in layers:
        layer.momentum = 0.0
    try:
        yield
    finally:
        for layer, momentum in zip(layers, momenta, strict=True):
            layer.momentum = momentum
