"""The base class of data sets whose records can be read by index, in any order at no cost."""

from __future__ import annotations

import abc
import functools
import hashlib
import os
from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from sagan_tf.data.images.skipped import SkippedImages
from sagan_tf.data.sources.balanced import BalancedSource
from sagan_tf.data.sources.selectable import SelectableSource
from sagan_tf.data.sources.shard import Shard
from sagan_tf.data.sources.source import Source, make_epoch_seed
from sagan_tf.text import normalize_name


class IndexedSource(SelectableSource):
    """A source without a shuffle buffer.

    Each epoch is a true permutation, and resuming rereads nothing.
    """

    def chunks(self, *, seed: int, position: int, shard_index: int = 0, num_shards: int = 1) -> tf.data.Dataset:
        """See `Source.chunks`."""
        shard = Shard(shard_index, num_shards, self.num_examples)
        return self.read_in_order(shard, position, functools.partial(self._shuffle_indices, seed))

    def read_in_order(
        self, shard: Shard, position: int, get_indices: Callable[[tf.Tensor], tf.Tensor]
    ) -> tf.data.Dataset:
        """Read the images of an endless stream.

        Args:
            shard: The positions to read. Its epochs are the parts for which `get_indices` is called.
            position: Where in the stream of all shards to start.
            get_indices: Maps an epoch, int64 scalar, to the indices of the images at its positions, int64
                [positions of all shards in an epoch].

        Returns:
            A dataset as in `Source.chunks`.
        """
        first = shard.find_first_position(position)

        def make_epoch(epoch: tf.Tensor) -> tf.data.Dataset:
            start, stop = shard.get_epoch_positions(epoch)
            positions = tf.range(tf.maximum(start, first), stop, shard.count)
            indices = tf.gather(get_indices(epoch), positions - epoch * shard.num_examples)
            return tf.data.Dataset.from_tensor_slices((positions, indices))

        return self._read(tf.data.Dataset.range(first // shard.num_examples, tf.int64.max).flat_map(make_epoch))

    def stored_chunks(self, count: int) -> tf.data.Dataset:
        """See `Source.stored_chunks`."""
        return self._read(tf.data.Dataset.range(min(count, self.num_examples)).enumerate())

    def part(self, index: int, count: int) -> Source:
        """See `Source.part`. The part has every `count`-th image of one epoch."""
        indices = self._shuffle_indices(seed=0, epoch=tf.constant(0)).numpy()[index::count]
        part = self.select(indices, self.get_labels()[indices], self.class_names)
        part.skipped = SkippedImages(self.num_examples, log=False)
        return part

    def balance(self) -> Source:
        """See `Source.balance`."""
        return BalancedSource(self)

    def _shuffle_indices(self, seed: int, epoch: tf.Tensor) -> tf.Tensor:
        """Return the indices in the order of an epoch, int64 [num_examples]."""
        # A whole permutation per epoch (10 ms for a million) rather than index_shuffle, whose orders are similar for
        # similar seeds.
        indices = tf.range(self.num_examples, dtype=tf.int64)
        return tf.random.experimental.stateless_shuffle(indices, seed=make_epoch_seed(seed, epoch), alg="philox")

    def get_ranks(self, indices: np.ndarray) -> list[bytes]:
        """See `SelectableSource.get_ranks`. The keys are SHA-256 digests of the names of the images.

        So the choice is the same in every archive of the same files, and does not depend on the other files.
        """
        keys = self.get_keys()
        return [hashlib.sha256(os.fsencode(normalize_name(keys[index]))).digest() for index in indices.tolist()]

    @abc.abstractmethod
    def get_keys(self) -> Sequence[str]:
        """Return a name of each image that is different from every other and does not depend on the machine."""

    @abc.abstractmethod
    def select(self, indices: np.ndarray, labels: np.ndarray, class_names: tuple[str, ...]) -> IndexedSource:
        """See `SelectableSource.select`."""

    @abc.abstractmethod
    def _read(self, places: tf.data.Dataset) -> tf.data.Dataset:
        """Read records.

        Args:
            places: A dataset of (position, index), both int64 scalars.

        Returns:
            A dataset of examples as in `Source.chunks`, in the same order, without the unreadable ones.
        """
