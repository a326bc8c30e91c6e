"""The positions of the stream, and the records of an epoch, that belong to one of several readers of a data set."""

from __future__ import annotations

import dataclasses

import tensorflow as tf


@dataclasses.dataclass(frozen=True)
class Shard:
    """One of several readers of a data set.

    The shard reads the positions that leave the remainder `index` when divided by `count`.

    If the length of an epoch is not a multiple of `count`, a shard has one position more in some epochs.

    Attributes:
        index: Index of the shard, from 0.
        count: Number of shards.
        num_examples: Number of positions of all shards in an epoch.
    """

    index: int
    count: int
    num_examples: int

    def find_first_position(self, position: int) -> int:
        """Return the shard's first position that is at least `position`."""
        return position + (self.index - position) % self.count

    def get_epoch_positions(self, epoch: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Return the range of the shard's positions in an epoch, with step `count`.

        Args:
            epoch: int64 scalar.

        Returns:
            Start and stop of a range, int64 scalars. They are equal if there are fewer images than shards and no image
            remains for this shard.
        """
        start = epoch * self.num_examples
        first = start + (self.index - start) % self.count
        return first, tf.maximum(first, start + self.num_examples)

    def get_epoch_records(self, epoch: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Return the range of the shard's records in an epoch.

        The ranges are for shards that read consecutive records.

        A shard reads as many records as it has positions. Its range moves by fewer than `count` records between epochs,
        so that it reads almost the same records in each epoch.

        Args:
            epoch: int64 scalar.

        Returns:
            Start and stop of a range of the records, numbered in the order of storage, int64 scalars.
        """
        offsets = (tf.range(self.count, dtype=tf.int64) - epoch * self.num_examples) % self.count
        stops = tf.cumsum((self.num_examples - offsets + self.count - 1) // self.count)
        return tf.concat([[0], stops], axis=0)[self.index], stops[self.index]
