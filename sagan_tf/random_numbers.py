"""Random numbers for the images of a batch that do not depend on how the batch is divided."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import tensorflow as tf


@dataclasses.dataclass(frozen=True)
class RandomNumbers:
    """Random numbers for each image of a batch, from a seed and the row in the global batch.

    An image gets the same numbers on any number of replicas and in any part of an accumulated batch. Two images get
    different numbers.

    Attributes:
        seed: int64 [2].
        rows: Rows of the images in the global batch, int32 [n] in [0, num_rows).
        num_rows: Number of rows of the global batch.
    """

    seed: tf.Tensor
    rows: tf.Tensor
    num_rows: int

    def uniform(self, shape: Sequence[int] = (), minimum: float = 0.0, maximum: float = 1.0) -> tf.Tensor:
        """Draw uniform random numbers in [minimum, maximum), float32 [n, *shape]."""
        numbers = tf.random.stateless_uniform([self.num_rows, *shape], self.seed, minimum, maximum, alg="philox")
        return tf.gather(numbers, self.rows)

    def normal(self, shape: Sequence[int] = ()) -> tf.Tensor:
        """Draw standard normal random numbers, float32 [n, *shape]."""
        return tf.gather(tf.random.stateless_normal([self.num_rows, *shape], self.seed, alg="philox"), self.rows)

    def stream(self, index: int) -> RandomNumbers:
        """Return independent random numbers for the same images.

        Args:
            index: Number of the stream; different streams have different random numbers.
        """
        # The computation of `tf.random.fold_in`, whose int32 seeds a GPU would have to pass to the host.
        first = tf.random.stateless_uniform([], self.seed, None, None, tf.int32, alg="philox")
        return dataclasses.replace(self, seed=tf.stack([tf.cast(first, tf.int64), tf.constant(index, tf.int64)]))

    @classmethod
    def concatenate(cls, parts: Sequence[RandomNumbers]) -> RandomNumbers:
        """Concatenate the random numbers of parts of a batch that have the same seed."""
        return cls(parts[0].seed, tf.concat([part.rows for part in parts], 0), parts[0].num_rows)
