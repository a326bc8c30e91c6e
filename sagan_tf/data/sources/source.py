"""What a data set is to the rest of the code: counted, labelled images in an order that can be entered anywhere."""

from __future__ import annotations

import abc

import numpy as np
import tensorflow as tf

from sagan_tf.class_labels import check_class_names
from sagan_tf.data.images.skipped import SkippedImages


class Source(abc.ABC):
    """A data set, opened.

    Attributes:
        name: what messages call it.
        num_examples: images in it, unreadable ones included.
        class_names: one name for each label; empty if the images have no labels.
        class_counts: int64 [classes], the label histogram, over `class_counts_sample_size` records.
        class_counts_sample_size: how many records `class_counts` was counted on; `num_examples` where it is exact.
        resolution: height and width of the images it gives.
        image_channels: channels of the images it gives.
        skipped: the unreadable images met so far.
    """

    def __init__(
        self,
        *,
        name: str,
        num_examples: int,
        class_names: tuple[str, ...],
        class_counts: np.ndarray,
        resolution: int,
        image_channels: int,
        class_counts_sample_size: int | None = None,
    ) -> None:
        """See the attributes; `class_counts_sample_size` None stands for `num_examples`.

        Raises:
            UserError: a name can be no class's.
        """
        check_class_names(class_names)
        self.name = name
        self.num_examples = num_examples
        self.class_names = class_names
        self.class_counts = np.asarray(class_counts, dtype=np.int64)
        self.class_counts_sample_size = num_examples if class_counts_sample_size is None else class_counts_sample_size
        self.resolution = resolution
        self.image_channels = image_channels
        self.skipped = SkippedImages(num_examples)

    @abc.abstractmethod
    def chunks(self, *, seed: int, position: int, shard_index: int = 0, num_shards: int = 1) -> tf.data.Dataset:
        """Return the stream of `examples`, several at once, which is cheaper for small images.

        Returns:
            Dataset of {"image": uint8 [chunk, resolution, resolution, image_channels], "label": int32 [chunk],
            "position": int64 [chunk], "name": string [chunk]}, where the length of a chunk varies and may be 0.
        """

    def examples(self, *, seed: int, position: int, shard_index: int = 0, num_shards: int = 1) -> tf.data.Dataset:
        """Return an endless stream of images, each epoch in another order; the order is a function of `seed` alone.

        Positions count records drawn, skipped ones included: position 0 is the first record of epoch 0. So a stream
        that starts at the last position consumed plus 1 goes on exactly where that one stopped.

        Args:
            seed: seed of the order.
            position: where to start.
            shard_index: which of `num_shards` readers this is; it gets the positions that leave this remainder when
                divided by `num_shards`.
            num_shards: readers that together read every record once an epoch.

        Returns:
            Dataset of {"image": uint8 [resolution, resolution, image_channels], "label": int32 scalar (0 if there are
            no labels), "position": int64 scalar, "name": string scalar (path or record name)}.
        """
        return self.chunks(seed=seed, position=position, shard_index=shard_index, num_shards=num_shards).unbatch()

    def reread_bytes(self, position: int) -> int:
        """Return how many bytes a stream from `position` on reads only to get there: 0 for sources with an index."""
        return 0

    @abc.abstractmethod
    def stored_chunks(self, count: int) -> tf.data.Dataset:
        """Return the readable ones of the first `count` records as they are stored, read at once: see `chunks`."""

    def preview(self, count: int) -> tf.data.Dataset:
        """Return the readable ones of the first `count` records as they are stored: see `examples`."""
        return self.stored_chunks(count).unbatch()

    @abc.abstractmethod
    def part(self, index: int, count: int) -> Source:
        """One of `count` sources that together hold every record once, each a fair sample of all.

        A function of the data set and the two numbers, which can be sent to another process. The limit of its `skipped`
        is that of the whole data set, and it logs nothing.
        """

    @abc.abstractmethod
    def fingerprint(self) -> str:
        """Return a few letters that are others when the files are others: by their names, sizes and times."""


def epoch_seed(seed: int, epoch: tf.Tensor) -> tf.Tensor:
    """Seed of an epoch's order: int64 [2], for TensorFlow's stateless operations, which hash both numbers."""
    return tf.stack([tf.constant(seed, tf.int64), tf.cast(epoch, tf.int64)])
