"""Random numbers for the images of a batch, the same however the batch is divided."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import tensorflow as tf


@dataclasses.dataclass(frozen=True)
class RandomNumbers:
    """Random numbers for each image of a batch, a function of a seed and of the image's row in the global batch.

    So an image gets the same numbers on any number of replicas and in any part of an accumulated batch, and two images
    get different ones.

    Attributes:
        seed: int64 [2].
        rows: int32 [n], the images' rows, each in [0, num_rows).
        num_rows: rows of the global batch.
    """

    seed: tf.Tensor
    rows: tf.Tensor
    num_rows: int

    def uniform(self, shape: Sequence[int] = (), minimum: float = 0.0, maximum: float = 1.0) -> tf.Tensor:
        """Draw uniform numbers in [minimum, maximum): float32 [n, *shape]."""
        numbers = tf.random.stateless_uniform([self.num_rows, *shape], self.seed, minimum, maximum, alg="philox")
        return tf.gather(numbers, self.rows)

    def normal(self, shape: Sequence[int] = ()) -> tf.Tensor:
        """Draw standard normal numbers: float32 [n, *shape]."""
        return tf.gather(tf.random.stateless_normal([self.num_rows, *shape], self.seed, alg="philox"), self.rows)

    def stream(self, index: int) -> RandomNumbers:
        """Return independent random numbers for the same images; each index gives different ones."""
        # As `tf.random.fold_in`, whose int32 seeds a GPU would have to hand to the host.
        first = tf.random.stateless_uniform([], self.seed, None, None, tf.int32, alg="philox")
        return dataclasses.replace(self, seed=tf.stack([tf.cast(first, tf.int64), tf.constant(index, tf.int64)]))

    @classmethod
    def concatenate(cls, parts: Sequence[RandomNumbers]) -> RandomNumbers:
        """Return the numbers of all images of parts with one seed."""
        return cls(parts[0].seed, tf.concat([part.rows for part in parts], 0), parts[0].num_rows)
