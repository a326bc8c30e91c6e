"""One of several readers of a data set: which positions of the stream, and which records of an epoch, are its own."""

from __future__ import annotations

import dataclasses

import tensorflow as tf


@dataclasses.dataclass(frozen=True)
class Shard:
    """The reader of the positions that leave the remainder `index` when divided by `count`.

    Where the length of an epoch is not a multiple of `count`, a shard has one position more in some epochs.

    Attributes:
        index: number of the shard, from 0.
        count: number of shards.
        num_examples: positions of an epoch, of all shards.
    """

    index: int
    count: int
    num_examples: int

    def first_position(self, position: int) -> int:
        """Return the shard's first position that is at least `position`."""
        return position + (self.index - position) % self.count

    def positions_of_epoch(self, epoch: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Return the range of the shard's positions in an epoch, with step `count`.

        Args:
            epoch: int64 scalar.

        Returns:
            Start and stop of a range, int64 scalars; they are equal where there are fewer images than shards, and none
            is left for this one.
        """
        start = epoch * self.num_examples
        first = start + (self.index - start) % self.count
        return first, tf.maximum(first, start + self.num_examples)

    def records_of_epoch(self, epoch: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Return the shard's records of an epoch, where shards read consecutive records.

        A shard reads as many as it has positions. Its range moves by fewer than `count` records between epochs, so that
        it reads nearly the same ones in all of them.

        Args:
            epoch: int64 scalar.

        Returns:
            Start and stop of a range of the records, numbered as they are stored, int64 scalars.
        """
        offsets = (tf.range(self.count, dtype=tf.int64) - epoch * self.num_examples) % self.count
        stops = tf.cumsum((self.num_examples - offsets + self.count - 1) // self.count)
        return tf.concat([[0], stops], axis=0)[self.index], stops[self.index]
