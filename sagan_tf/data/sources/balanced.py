"""Any data set as a stream in which every class is equally frequent."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import tensorflow as tf

from sagan_tf.data.sources.balanced_order import BalancedOrder
from sagan_tf.data.sources.shard import Shard
from sagan_tf.data.sources.source import Source
from sagan_tf.errors import UserError
from sagan_tf.text import format_names

if TYPE_CHECKING:
    from sagan_tf.data.sources.indexed import IndexedSource

_MAX_LISTED_CLASSES = 3


class BalancedSource(Source):
    """The images of another source, in the order of `BalancedOrder`.

    Args:
        source: The other source.

    Raises:
        UserError: The images have no labels, or there is a class without images.
    """

    def __init__(self, source: IndexedSource) -> None:
        labels = source.get_labels()
        super().__init__(
            name=source.name,
            num_examples=source.num_examples,
            class_names=source.class_names,
            class_counts=np.bincount(labels, minlength=len(source.class_names)),
            resolution=source.resolution,
            image_channels=source.image_channels,
        )
        missing = [self.class_names[label] for label in np.flatnonzero(self.class_counts == 0)]
        if missing or not self.class_names:
            received = f"none of {format_names(missing, _MAX_LISTED_CLASSES)}" if missing else "images without labels"
            raise UserError(
                f"label_sampling: expected images of every class in {source.name} for balanced, received {received}"
            )
        self.skipped = source.skipped
        self._source = source
        self._labels = labels

    def chunks(self, *, seed: int, position: int, shard_index: int = 0, num_shards: int = 1) -> tf.data.Dataset:
        """See `Source.chunks`. An epoch has no meaning here; positions count images from the start of the stream."""
        order = BalancedOrder(self._labels, len(self.class_names), seed)

        def get_indices(piece: tf.Tensor) -> tf.Tensor:
            indices = tf.numpy_function(lambda number: order.compute_piece(int(number)), [piece], tf.int64, False)
            return tf.ensure_shape(indices, [order.piece_length])

        return self._source.read_in_order(Shard(shard_index, num_shards, order.piece_length), position, get_indices)

    def stored_chunks(self, count: int) -> tf.data.Dataset:
        """See `Source.stored_chunks`."""
        return self._source.stored_chunks(count)

    def part(self, index: int, count: int) -> Source:
        """See `Source.part`. The part has the class frequencies of the data."""
        return self._source.part(index, count)

    def balance(self) -> Source:
        """See `Source.balance`."""
        return self

    def digest(self) -> str:
        """See `Source.digest`."""
        return self._source.digest()
