"""Data sets whose records can be read by index, in any order at no cost."""

from __future__ import annotations

import abc

import tensorflow as tf

from sagan_tf.data.source import Source, epoch_seed, first_position_of_shard


class IndexedSource(Source):
    """A source that needs no shuffle buffer: each epoch is a true permutation, and resuming reads nothing in vain."""

    def examples(self, *, seed: int, position: int, shard_index: int = 0, num_shards: int = 1) -> tf.data.Dataset:
        """See `Source.examples`."""
        first = first_position_of_shard(position, shard_index=shard_index, num_shards=num_shards)
        count = self.num_examples

        def epoch_places(epoch: tf.Tensor) -> tf.data.Dataset:
            # A whole permutation an epoch (10 ms for a million) rather than index_shuffle, whose orders are alike for
            # seeds that are alike.
            order = tf.random.experimental.stateless_shuffle(
                tf.range(count, dtype=tf.int64), seed=epoch_seed(seed, epoch), alg="philox"
            )
            epoch_start = epoch * count
            start = tf.maximum(epoch_start, tf.constant(first, tf.int64))
            start += (shard_index - start) % num_shards
            positions = tf.range(start, epoch_start + count, num_shards)
            return tf.data.Dataset.from_tensor_slices((positions, tf.gather(order, positions - epoch_start)))

        return self._read(tf.data.Dataset.range(first // count, tf.int64.max).flat_map(epoch_places))

    def preview(self, count: int) -> tf.data.Dataset:
        """See `Source.preview`."""
        places = tf.data.Dataset.range(min(count, self.num_examples))
        return self._read(places.map(lambda index: (index, index)))

    @abc.abstractmethod
    def _read(self, places: tf.data.Dataset) -> tf.data.Dataset:
        """Reads records.

        Args:
            places: dataset of (position, index), both int64 scalars.

        Returns:
            Dataset of examples as in `Source.examples`, in the same order, without the unreadable ones.
        """
