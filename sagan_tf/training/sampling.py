"""Latents and labels for the generator, drawn as a pure function of (seed, draw number).

Every replica draws the global batch and takes its own rows, so a run sees the same latents whatever the number of
replicas, replicas never share a latent, and a resumed run needs no generator state. (XLA makes other normal numbers of
the same random bits.) A global batch of latents is small, 256 x 128 floats: drawing all of it everywhere costs nothing.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from sagan_tf.layers import SpectralNormalization

_LATENTS, _LABELS = 0, 1  # two independent streams of one seed


@dataclasses.dataclass(frozen=True)
class LatentSampler:
    """Draws the generator's inputs.

    Attributes:
        seed: the run's seed.
        latent_dim: length of a latent vector.
        num_classes: labels are uniform in [0, num_classes); 0 gives labels 0.
        global_batch_size: rows drawn, over all replicas.
    """

    seed: int
    latent_dim: int
    num_classes: int
    global_batch_size: int

    def draw(self, number: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Draws one global batch.

        Args:
            number: int64 scalar, which draw this is; each number gives other values.

        Returns:
            Latents float32 [global_batch_size, latent_dim], standard normal, and labels int32 [global_batch_size].
        """
        shape = [self.global_batch_size, self.latent_dim]
        latents = tf.random.stateless_normal(shape, self._seed(_LATENTS, number), alg="philox")
        labels = tf.random.stateless_uniform(
            shape[:1], self._seed(_LABELS, number), 0, max(self.num_classes, 1), tf.int32, alg="philox"
        )
        return latents, labels

    def draw_for_replica(self, number: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """This replica's rows of `draw(number)`: [global_batch_size / replicas, ...]. Call it in replica context."""
        context = tf.distribute.get_replica_context()
        rows = self.global_batch_size // context.num_replicas_in_sync
        first = tf.cast(context.replica_id_in_sync_group, tf.int32) * rows
        latents, labels = self.draw(number)
        return tf.slice(latents, [first, 0], [rows, self.latent_dim]), tf.slice(labels, [first], [rows])

    def _seed(self, stream: int, number: tf.Tensor) -> tf.Tensor:
        return tf.random.fold_in(tf.constant([self.seed, stream], tf.int64), number, alg="philox")


def fixed_inputs(
    latent_dim: int, num_classes: int, columns: int, *, seed: int, max_classes: int = 10
) -> tuple[tf.Tensor, tf.Tensor]:
    """Inputs of a sample grid: a row a class, the same latents in each row.

    Classes beyond `max_classes` are left out, evenly over the range of labels. Without classes there are `columns` rows
    of different latents.

    Returns:
        Latents float32 [rows * columns, latent_dim] and labels int32 [rows * columns], row by row.
    """
    if num_classes < 1:
        latents = tf.random.stateless_normal([columns * columns, latent_dim], [seed, 2], alg="philox")
        return latents, tf.zeros([columns * columns], tf.int32)
    rows = min(num_classes, max_classes)
    classes = [index * num_classes // rows for index in range(rows)]
    latents = tf.random.stateless_normal([columns, latent_dim], [seed, 2], alg="philox")
    return tf.tile(latents, [rows, 1]), tf.repeat(tf.constant(classes, tf.int32), columns)


def compiled_generator(generator: keras.Model) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    """The generator at inference (moving statistics), for many images.

    What is made of the kernels alone is computed now, not with each batch: sigma, the kernels divided by it, and the
    sums of their taps that convolutions multiply with. Make a new one when the weights have changed.

    Args:
        generator: a network of `build_generator`.

    Returns:
        A compiled function of latents float32 [n, latent_dim] and labels int32 [n], for any n, giving images as
        `generator` does.
    """
    latents, labels = (tf.TensorSpec(one.shape, one.dtype) for one in generator.inputs)
    function = tf.function(lambda latents, labels: generator([latents, labels], training=False), autograph=False)
    with contextlib.ExitStack() as stack:
        for layer in generator._flatten_layers():
            if isinstance(layer, SpectralNormalization):
                stack.enter_context(layer.folded())
        return function.get_concrete_function(latents, labels)


def generate_images(generator: keras.Model, latents: tf.Tensor, labels: tf.Tensor, batch_size: int = 16) -> np.ndarray:
    """Images of a generator at inference (moving statistics), worked through in batches.

    Args:
        generator: a network of `build_generator`.
        latents: float32 [n, latent_dim].
        labels: int32 [n].
        batch_size: images made at once.

    Returns:
        float32 [n, resolution, resolution, image_channels] in [-1, 1].
    """
    starts = range(0, len(latents), batch_size)
    batches = [[latents[start : start + batch_size], labels[start : start + batch_size]] for start in starts]
    return np.concatenate([generator(batch, training=False).numpy() for batch in batches])
