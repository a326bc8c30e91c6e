"""Standing statistics: statistics of batch normalization for the images that are requested.

Moving statistics come from training, with its latents without truncation and its changing weights. Truncation changes
the statistics of the features. Reference: Brock et al., Large scale GAN training, ICLR 2019, appendix D.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import numpy as np
import tensorflow as tf

from sagan_tf.generation.inference import freeze_for_inference
from sagan_tf.generation.latents import draw_latents_from_seeds
from sagan_tf.keras_backend import iterate_layers, keras
from sagan_tf.layers.batch_normalization import BatchNormalization

_FIRST_SEED = 2**62
"""First seed above those that users may pass, so that the statistics do not come from the requested images."""
BATCH_SIZE = 64


def use_standing_statistics(
    network: keras.Model, labels: list[int], batches: int, truncation: float, latent_dim: int
) -> None:
    """Replace a generator's moving means and variances by their means over batches.

    Args:
        network: A network made by `build_generator`.
        labels: Classes of the images in turn.
        batches: Number of batches of `BATCH_SIZE` images.
        truncation: Truncation threshold of the latents; infinity for none.
        latent_dim: Length of a latent vector.
    """
    layers = [layer for layer in iterate_layers(network) if isinstance(layer, BatchNormalization)]
    variables = [variable for layer in layers for variable in (layer.moving_mean, layer.moving_variance)]
    sums = [np.zeros(variable.shape, np.float64) for variable in variables]
    with _disable_momentum(layers), freeze_for_inference(network):
        run = tf.function(lambda latents, labels: network([latents, labels], training=True), autograph=False)
        for batch in range(batches):
            indices: np.ndarray = batch * BATCH_SIZE + np.arange(BATCH_SIZE)
            latents = draw_latents_from_seeds(_FIRST_SEED + indices, latent_dim, truncation)
            run(latents, tf.constant(np.array(labels)[indices % len(labels)], tf.int32))
            for total, variable in zip(sums, variables, strict=True):
                total += np.asarray(variable)
    for total, variable in zip(sums, variables, strict=True):
        variable.assign(total / batches)


@contextlib.contextmanager
def _disable_momentum(layers: list[BatchNormalization]) -> Iterator[None]:
    """Set the momentum to 0, so that moving statistics are those of the last batch."""
    momenta = [layer.momentum for layer in layers]
    for layer in layers:
        layer.momentum = 0.0
    try:
        yield
    finally:
        for layer, momentum in zip(layers, momenta, strict=True):
            layer.momentum = momentum
