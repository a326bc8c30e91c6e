"""Latents and labels for the generator, drawn as a pure function of the seed and the draw number.

Every replica draws the global batch and takes its own rows. A run therefore sees the same latents for any number of
replicas, two replicas never use the same latent, and a resumed run needs no state of a random number generator. (XLA
computes different normal numbers from the same random bits.) A global batch of latents is small, 256 x 128 floats, so
that drawing all of it on each replica costs almost nothing.

No latents are drawn twice, because each use of a seed has its own draw numbers or its own key:

| use | random numbers |
|---|---|
| training before any rollback | `LatentSampler`, draw numbers from 0 (`compute_training_draw_number`) |
| evaluation | `LatentSampler`, draw numbers from 2^40 (`compute_evaluation_draw_number`) |
| training after rollback r = 1, 2, ... | `LatentSampler`, draw numbers from (r + 1) 2^40 (same function) |
| labels of all of these | the same draw numbers, stream 1 of the seed instead of stream 0 |
| augmentation and regularization | the same draw numbers, stream 3 of the seed (`get_image_seed`) |
| single images from their own seeds | `draw_latents_from_seeds`: key (seed of the image, 2), no draw numbers |

In the random numbers for images, real images use the rows of the global batch, and fake images use the same number of
rows after them. Each augmentation has its own stream, and all regularizers share another stream. The generator's update
has its own draw number, as for latents.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import tensorflow as tf

from sagan_tf.serving.contract import NO_TRUNCATION

# Independent streams of one seed.
_LATENT_STREAM, _LABEL_STREAM, _SINGLE_IMAGE_STREAM, _IMAGE_STREAM = 0, 1, 2, 3
_DRAWS_PER_REGION = 2**40
"""More draws than a run or an evaluation ever makes."""


@dataclasses.dataclass(frozen=True)
class LatentSampler:
    """A sampler of the generator's inputs.

    Attributes:
        seed: Seed of the run.
        latent_dim: Length of a latent vector.
        num_classes: Number of classes. Labels are uniform in [0, num_classes); 0 gives labels 0.
        global_batch_size: Number of rows drawn for all replicas together.
        class_counts: If not empty, labels are drawn in proportion to these counts, one per class.
    """

    seed: int
    latent_dim: int
    num_classes: int
    global_batch_size: int
    class_counts: tuple[int, ...] = ()

    def draw(self, number: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Draw one global batch.

        Args:
            number: Draw number, int64 scalar. Each draw number gives different values.

        Returns:
            Latents float32 [global_batch_size, latent_dim], standard normal, and labels int32 [global_batch_size].
        """
        shape = [self.global_batch_size, self.latent_dim]
        latents = tf.random.stateless_normal(shape, self._derive_seed(_LATENT_STREAM, number), alg="philox")
        return latents, self._draw_labels(self._derive_seed(_LABEL_STREAM, number))

    def _draw_labels(self, seed: tf.Tensor) -> tf.Tensor:
        shape = [self.global_batch_size]
        if not self.class_counts:
            return tf.random.stateless_uniform(shape, seed, 0, max(self.num_classes, 1), tf.int32, alg="philox")
        # Draw one of the counted images uniformly and take its label.
        ends = np.cumsum(self.class_counts, dtype=np.int64)
        indices = tf.random.stateless_uniform(shape, seed, 0, ends[-1], tf.int64, alg="philox")
        # Search in int64, because a GPU reshapes int32 tensors in host memory; see `draw_for_replica`.
        return tf.cast(tf.searchsorted(ends, indices, side="right", out_type=tf.int64), tf.int32)

    def draw_for_replica(self, number: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Draw a global batch and return this replica's rows.

        Each replica has the same number of rows. Call this method in replica context.

        Args:
            number: Draw number, int64 scalar.

        Returns:
            Latents float32 [rows, latent_dim] and labels int64 [rows]. The labels are int64 because TensorFlow slices,
            joins, splits and reshapes int32 tensors in host memory: with int32 labels, the host would wait in each
            update until the GPU has finished all earlier work.
        """
        first, rows = self._replica_slice()
        latents, labels = self.draw(number)
        labels = tf.cast(labels, tf.int64)
        return tf.slice(latents, [first, 0], [rows, self.latent_dim]), tf.slice(labels, [first], [rows])

    def get_replica_rows(self) -> tf.Tensor:
        """Return this replica's rows of the global batch, int32 [rows].

        Call this method in replica context.
        """
        first, rows = self._replica_slice()
        return first + tf.range(rows)

    def get_image_seed(self, number: tf.Tensor) -> tf.Tensor:
        """Return the seed, int64 [2], of the random numbers for the images of a draw."""
        return self._derive_seed(_IMAGE_STREAM, number)

    def _replica_slice(self) -> tuple[tf.Tensor, int]:
        """Return the first row of this replica and its number of rows."""
        context = tf.distribute.get_replica_context()
        rows = self.global_batch_size // context.num_replicas_in_sync
        return tf.cast(context.replica_id_in_sync_group, tf.int32) * rows, rows

    def _derive_seed(self, stream: int, number: tf.Tensor) -> tf.Tensor:
        return tf.random.fold_in(tf.constant([self.seed, stream], tf.int64), number, alg="philox")


def compute_training_draw_number(update: tf.Tensor, rollbacks: tf.Tensor) -> tf.Tensor:
    """Compute the draw number of a training update; see the table of this module.

    Args:
        update: Number of discriminator and generator updates before this one, int64 scalar.
        rollbacks: Number of rollbacks of the run so far, int64 scalar.

    Returns:
        Draw number, int64 scalar.
    """
    region = rollbacks + tf.cast(rollbacks > 0, tf.int64)  # region 1 belongs to evaluation
    return update + region * _DRAWS_PER_REGION


def compute_evaluation_draw_number(index: int) -> tf.Tensor:
    """Compute the draw number of an evaluation's draw `index` (0, 1, ...).

    No run with the same seed trains on the latents of this draw number.
    """
    return tf.constant(_DRAWS_PER_REGION + index, tf.int64)


def draw_latents_from_seeds(
    seeds: tf.Tensor | np.ndarray, latent_dim: int, truncation: tf.Tensor | float = math.inf
) -> tf.Tensor:
    """Draw the latents of single images, each from its own seed and truncation.

    An image is therefore the same in any batch. Truncated latents follow a normal distribution cut off at +-truncation
    (Brock et al., ICLR 2019). They have the same quantile as the latents without truncation, so that an image changes
    continuously with the truncation and stays similar.

    Args:
        seeds: Seeds of the images, int64 [n].
        latent_dim: Length of a latent vector.
        truncation: Threshold of at least 0, a scalar or [n]. 0 gives the mean; 8, greater values and infinity give no
            truncation.

    Returns:
        Latents, float32 [n, latent_dim].
    """
    with tf.device("CPU:0"):  # other devices round differently, which would change the images
        return _draw_latents(tf.cast(seeds, tf.int64), tf.cast(truncation, tf.float64), latent_dim)


@tf.function(autograph=False, reduce_retracing=True)
def _draw_latents(seeds: tf.Tensor, truncation: tf.Tensor, latent_dim: int) -> tf.Tensor:
    def draw_one(seed: tf.Tensor) -> tf.Tensor:
        return tf.random.stateless_normal([latent_dim], tf.stack([seed, _SINGLE_IMAGE_STREAM]), alg="philox")

    latents = tf.map_fn(draw_one, seeds, fn_output_signature=tf.TensorSpec([latent_dim], tf.float32))
    threshold = tf.broadcast_to(truncation, tf.shape(seeds))[:, tf.newaxis]
    return tf.where(threshold < NO_TRUNCATION, _truncate(latents, threshold), latents)


def _truncate(latents: tf.Tensor, threshold: tf.Tensor) -> tf.Tensor:
    """Map latents to the same quantiles of a truncated normal distribution."""
    # Compute in float64 and in the lower tail, because probabilities near 0 are exact and those near 1 are not.
    lower_tail = tf.math.erfc(tf.abs(tf.cast(latents, tf.float64)) / math.sqrt(2.0)) / 2.0
    cut = tf.math.erfc(threshold / math.sqrt(2.0)) / 2.0
    magnitude = -tf.math.ndtri(cut + lower_tail * (1.0 - 2.0 * cut))
    return tf.sign(latents) * tf.cast(tf.minimum(magnitude, threshold), tf.float32)


def make_fixed_inputs(
    latent_dim: int, num_classes: int, columns: int, *, seed: int, max_classes: int = 10
) -> tuple[tf.Tensor, tf.Tensor]:
    """Make the inputs of a sample grid with one class per row.

    Each row has the same latents. With more than `max_classes` classes, the rows are evenly spaced over the range of
    labels. Without classes, there are `columns` rows, and all latents differ.

    Args:
        latent_dim: Length of a latent vector.
        num_classes: Number of classes; 0 means a generator without classes.
        columns: Number of images in a row.
        seed: Seed of the first latents; the next latents have the seeds after it.
        max_classes: Maximum number of classes.

    Returns:
        Latents float32 [rows * columns, latent_dim] and labels int32 [rows * columns], row by row.
    """
    if num_classes < 1:
        latents = draw_latents_from_seeds(seed + np.arange(columns * columns), latent_dim)
        return latents, tf.zeros([columns * columns], tf.int32)
    classes = select_evenly_spaced_classes(num_classes, max_classes)
    latents = draw_latents_from_seeds(seed + np.arange(columns), latent_dim)
    return tf.tile(latents, [len(classes), 1]), tf.repeat(tf.constant(classes, tf.int32), columns)


def select_evenly_spaced_classes(num_classes: int, max_classes: int) -> list[int]:
    """Select at most `max_classes` classes, evenly spaced over the range of labels."""
    count = min(num_classes, max_classes)
    return [index * num_classes // count for index in range(count)]
