"""Augmentation with the same random numbers in every reading."""

from __future__ import annotations

import tensorflow as tf

from sagan_tf.augmentation import RandomAugmentation
from sagan_tf.random_numbers import RandomNumbers

_AUGMENTATION_STREAM = 4
"""Stream of the run's seed; `generation.latents` uses the streams before it."""


class FixedAugmentation:
    """The augmentation of training, which changes the images of every reading in the same way.

    A discriminator may give any logit to an image without augmentation that it has never seen.

    Args:
        augmentation: The augmentation in training.
        seed: The seed of the run.
        num_rows: The number of rows of random numbers. Each image uses one row.
    """

    def __init__(self, augmentation: RandomAugmentation, *, seed: int, num_rows: int) -> None:
        self._augmentation = augmentation
        self._seed = tf.constant([seed, _AUGMENTATION_STREAM], tf.int64)
        self._num_rows = num_rows

    def __call__(self, images: tf.Tensor, first_row: int = 0) -> tf.Tensor:
        """Augment images, float32 [n, R, R, C], with the random numbers of n rows from `first_row` on."""
        rows = first_row + tf.range(len(images))
        return self._augmentation(images, RandomNumbers(self._seed, rows, self._num_rows))
