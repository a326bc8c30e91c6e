"""Latents and labels for the generator, drawn as a pure function of (seed, draw number).

Every replica draws the global batch and takes its own rows, so a run sees the same latents whatever the number of
replicas, replicas never share a latent, and a resumed run needs no generator state. (XLA makes other normal numbers of
the same random bits.) A global batch of latents is small, 256 x 128 floats: drawing all of it everywhere costs nothing.

No latents are drawn twice, since every user of a seed has draw numbers or a key of its own:

| user | random numbers |
|---|---|
| training before any rollback | `LatentSampler`, draw numbers from 0 (`training_draw`) |
| evaluation | `LatentSampler`, draw numbers from 2^40 (`evaluation_draw`) |
| training after rollback r = 1, 2, ... | `LatentSampler`, draw numbers from (r + 1) 2^40 (`training_draw`) |
| labels of all of these | the same draw numbers, stream 1 of the seed in place of stream 0 |
| augmentation and regularization of images | the same draw numbers, stream 3 of the seed (`LatentSampler.image_seed`) |
| single images by their own seeds | `latents_of_seeds`: key (seed of the image, 2), no draw numbers |

In the random numbers of images, real images use the rows of the global batch, and fake images the same number of rows
after them. Each augmentation has a stream of its own, and all regularizers together have another. The generator's
update has a draw number of its own, as for latents.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import tensorflow as tf

_LATENTS, _LABELS, _PICTURES, _IMAGES = 0, 1, 2, 3  # independent streams of one seed
_DRAWS_PER_REGION = 2**40
"""More draws than a run or an evaluation will ever make."""
NO_TRUNCATION = 8.0
"""Of a normal distribution, 1e-15 lies beyond: nothing that a float32 latent could show."""


@dataclasses.dataclass(frozen=True)
class LatentSampler:
    """Draws the generator's inputs.

    Attributes:
        seed: the run's seed.
        latent_dim: length of a latent vector.
        num_classes: labels are uniform in [0, num_classes); 0 gives labels 0.
        global_batch_size: rows drawn, over all replicas.
        class_counts: if not empty, labels are drawn in proportion to these numbers, one for each class.
    """

    seed: int
    latent_dim: int
    num_classes: int
    global_batch_size: int
    class_counts: tuple[int, ...] = ()

    def draw(self, number: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Draw one global batch.

        Args:
            number: int64 scalar, which draw this is; each number gives other values.

        Returns:
            Latents float32 [global_batch_size, latent_dim], standard normal, and labels int32 [global_batch_size].
        """
        shape = [self.global_batch_size, self.latent_dim]
        latents = tf.random.stateless_normal(shape, self._seed(_LATENTS, number), alg="philox")
        return latents, self._draw_labels(self._seed(_LABELS, number))

    def _draw_labels(self, seed: tf.Tensor) -> tf.Tensor:
        shape = [self.global_batch_size]
        if not self.class_counts:
            return tf.random.stateless_uniform(shape, seed, 0, max(self.num_classes, 1), tf.int32, alg="philox")
        # The label of one of the counted images, drawn uniformly.
        ends = np.cumsum(self.class_counts, dtype=np.int64)
        places = tf.random.stateless_uniform(shape, seed, 0, ends[-1], tf.int64, alg="philox")
        return tf.searchsorted(ends, places, side="right", out_type=tf.int32)

    def draw_for_replica(self, number: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Draw a global batch and return this replica's rows, as many for each replica. Call it in replica context.

        Returns:
            Latents float32 [rows, latent_dim] and labels int64 [rows]. TensorFlow slices, joins, splits and reshapes
            int32 in the host's memory: for int32 labels, the host would wait in each update until the GPU has done all
            that came before.
        """
        first, rows = self._replica_slice()
        latents, labels = self.draw(number)
        labels = tf.cast(labels, tf.int64)
        return tf.slice(latents, [first, 0], [rows, self.latent_dim]), tf.slice(labels, [first], [rows])

    def replica_rows(self) -> tf.Tensor:
        """Return this replica's rows of the global batch, int32 [rows]. Call it in replica context."""
        first, rows = self._replica_slice()
        return first + tf.range(rows)

    def image_seed(self, number: tf.Tensor) -> tf.Tensor:
        """Return the seed, int64 [2], of the random numbers by which the images of a draw are changed."""
        return self._seed(_IMAGES, number)

    def _replica_slice(self) -> tuple[tf.Tensor, int]:
        """Return the first row of this replica and how many it has."""
        context = tf.distribute.get_replica_context()
        rows = self.global_batch_size // context.num_replicas_in_sync
        return tf.cast(context.replica_id_in_sync_group, tf.int32) * rows, rows

    def _seed(self, stream: int, number: tf.Tensor) -> tf.Tensor:
        return tf.random.fold_in(tf.constant([self.seed, stream], tf.int64), number, alg="philox")


def training_draw(update: tf.Tensor, rollbacks: tf.Tensor) -> tf.Tensor:
    """Return the draw number of a training update; see the table of this module.

    Args:
        update: int64 scalar, updates of the discriminator and the generator before this one.
        rollbacks: int64 scalar, rollbacks of the run so far.
    """
    region = rollbacks + tf.cast(rollbacks > 0, tf.int64)  # region 1 belongs to evaluation
    return update + region * _DRAWS_PER_REGION


def evaluation_draw(index: int) -> tf.Tensor:
    """Return the number of an evaluation's draw `index` (0, 1, ...): latents that no run of the seed trains on."""
    return tf.constant(_DRAWS_PER_REGION + index, tf.int64)


def latents_of_seeds(
    seeds: tf.Tensor | np.ndarray, latent_dim: int, truncation: tf.Tensor | float = math.inf
) -> tf.Tensor:
    """Latents of single pictures, each a function of its own seed and truncation: the same picture wherever it stands.

    Truncated latents are those of a normal distribution cut off at +-truncation (Brock et al., ICLR 2019), of the same
    quantile as without: a picture changes continuously with the truncation and keeps its character.

    Args:
        seeds: int64 [n].
        latent_dim: length of a latent vector.
        truncation: at least 0, a scalar or [n]; 0 gives the mean, 8 and more (or infinity) no truncation.

    Returns:
        float32 [n, latent_dim].
    """
    with tf.device("CPU:0"):  # other devices round otherwise, and pictures would be others
        return _latents_of_seeds(tf.cast(seeds, tf.int64), tf.cast(truncation, tf.float64), latent_dim)


@tf.function(autograph=False, reduce_retracing=True)
def _latents_of_seeds(seeds: tf.Tensor, truncation: tf.Tensor, latent_dim: int) -> tf.Tensor:
    def of_one(seed: tf.Tensor) -> tf.Tensor:
        return tf.random.stateless_normal([latent_dim], tf.stack([seed, _PICTURES]), alg="philox")

    latents = tf.map_fn(of_one, seeds, fn_output_signature=tf.TensorSpec([latent_dim], tf.float32))
    threshold = tf.broadcast_to(truncation, tf.shape(seeds))[:, tf.newaxis]
    return tf.where(threshold < NO_TRUNCATION, _truncated(latents, threshold), latents)


def _truncated(latents: tf.Tensor, threshold: tf.Tensor) -> tf.Tensor:
    """Return the quantiles of latents in a normal distribution that is cut off at +-threshold."""
    # In the lower tail, where numbers near 0 are exact, and in float64: those near 1 are not.
    lower_tail = tf.math.erfc(tf.abs(tf.cast(latents, tf.float64)) / math.sqrt(2.0)) / 2.0
    cut = tf.math.erfc(threshold / math.sqrt(2.0)) / 2.0
    magnitude = -tf.math.ndtri(cut + lower_tail * (1.0 - 2.0 * cut))
    return tf.sign(latents) * tf.cast(tf.minimum(magnitude, threshold), tf.float32)


def fixed_inputs(
    latent_dim: int, num_classes: int, columns: int, *, seed: int, max_classes: int = 10
) -> tuple[tf.Tensor, tf.Tensor]:
    """Inputs of a sample grid: a row a class, the same latents in each row, of the seeds from `seed` on.

    Classes beyond `max_classes` are left out, evenly over the range of labels. Without classes there are `columns` rows
    of different latents.

    Returns:
        Latents float32 [rows * columns, latent_dim] and labels int32 [rows * columns], row by row.
    """
    if num_classes < 1:
        latents = latents_of_seeds(seed + np.arange(columns * columns), latent_dim)
        return latents, tf.zeros([columns * columns], tf.int32)
    classes = spread_classes(num_classes, max_classes)
    latents = latents_of_seeds(seed + np.arange(columns), latent_dim)
    return tf.tile(latents, [len(classes), 1]), tf.repeat(tf.constant(classes, tf.int32), columns)


def spread_classes(num_classes: int, most: int) -> list[int]:
    """At most `most` classes, evenly over the range of labels."""
    rows = min(num_classes, most)
    return [index * num_classes // rows for index in range(rows)]
