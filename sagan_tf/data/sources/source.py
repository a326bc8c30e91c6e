"""The interface of data sets: counted, labeled images in an order that can be entered at any position."""

from __future__ import annotations

import abc

import numpy as np
import tensorflow as tf

from sagan_tf.class_labels import check_class_names
from sagan_tf.data.images.skipped import SkippedImages


class Source(abc.ABC):
    """An opened data set.

    Args:
        name: Name of the data set in messages.
        num_examples: Number of images, including unreadable ones.
        class_names: One name for each label. Empty if the images have no labels.
        class_counts: Integers [classes], the label histogram.
        resolution: Height and width of the images after preprocessing, in pixels.
        image_channels: Channels of the images after preprocessing.
        class_counts_sample_size: Number of records that `class_counts` counts. None for `num_examples`.

    Attributes:
        name: Name of the data set in messages.
        num_examples: Number of images, including unreadable ones.
        class_names: One name for each label; empty if the images have no labels.
        class_counts: int64 [classes], the label histogram of `class_counts_sample_size` records.
        class_counts_sample_size: Number of records that `class_counts` counts; `num_examples` if it is exact.
        resolution: Height and width of the images after preprocessing, in pixels.
        image_channels: Channels of the images after preprocessing.
        skipped: The unreadable images that were found so far.
        whole: The data set that options chose this source from; None if the source is a whole data set.

    Raises:
        UserError: A class name is not valid.
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
        check_class_names(class_names)
        self.name = name
        self.num_examples = num_examples
        self.class_names = class_names
        self.class_counts = np.asarray(class_counts, dtype=np.int64)
        self.class_counts_sample_size = num_examples if class_counts_sample_size is None else class_counts_sample_size
        self.resolution = resolution
        self.image_channels = image_channels
        self.skipped = SkippedImages(num_examples)
        self.whole: Source | None = None

    @abc.abstractmethod
    def chunks(self, *, seed: int, position: int, shard_index: int = 0, num_shards: int = 1) -> tf.data.Dataset:
        """Return the stream of `examples` in chunks, which is cheaper for small images.

        Args:
            seed: See `examples`.
            position: See `examples`.
            shard_index: See `examples`.
            num_shards: See `examples`.

        Returns:
            A dataset of {"image": uint8 [chunk, resolution, resolution, image_channels], "label": int32 [chunk],
            "position": int64 [chunk], "name": string [chunk]}, in which the length of a chunk varies and may be 0.
        """

    def examples(self, *, seed: int, position: int, shard_index: int = 0, num_shards: int = 1) -> tf.data.Dataset:
        """Return an endless stream of images, in another order in each epoch.

        The order is a function of `seed` alone. Positions count records that were drawn, including skipped ones:
        position 0 is the first record of epoch 0. A stream that starts at the last position consumed plus 1 therefore
        continues exactly where the earlier stream stopped.

        Args:
            seed: Seed of the order.
            position: Where to start.
            shard_index: Index of this reader among `num_shards` readers. It gets the positions that leave this
                remainder when divided by `num_shards`.
            num_shards: Number of readers that together read every record once per epoch.

        Returns:
            A dataset of {"image": uint8 [resolution, resolution, image_channels], "label": int32 scalar (0 if there are
            no labels), "position": int64 scalar, "name": string scalar (path or record name)}.
        """
        return self.chunks(seed=seed, position=position, shard_index=shard_index, num_shards=num_shards).unbatch()

    def count_reread_bytes(self, position: int) -> int:
        """Return how many bytes a stream reads only to reach its first position.

        Args:
            position: The first position of the stream.

        Returns:
            Bytes; 0 for sources with an index.
        """
        return 0

    @abc.abstractmethod
    def stored_chunks(self, count: int) -> tf.data.Dataset:
        """Return readable images of the first `count` stored records, in chunks.

        See `chunks` for the form of the dataset.
        """

    def preview(self, count: int) -> tf.data.Dataset:
        """Return the readable images of the first `count` stored records; see `examples`."""
        return self.stored_chunks(count).unbatch()

    @abc.abstractmethod
    def part(self, index: int, count: int) -> Source:
        """Return one of `count` sources that together have every record once.

        Each part is a fair sample of the data set.

        The part is a function of the data set and the two numbers. It can be sent to another process. The limit of its
        `skipped` is that of the whole data set, and it logs nothing.

        Args:
            index: Index of the part.
            count: Number of parts.

        Returns:
            The part.
        """

    @abc.abstractmethod
    def balance(self) -> Source:
        """Return a source whose `chunks` have every class equally often.

        Its positions are those of its own stream, which can be entered anywhere without reading anything again.

        Raises:
            UserError: The images have no labels, a class has no images, or the images cannot be read in any order.
        """

    @abc.abstractmethod
    def digest(self) -> str:
        """Return a digest of the names, sizes and modification times of the files."""


def make_epoch_seed(seed: int, epoch: tf.Tensor) -> tf.Tensor:
    """Return the seed of an epoch's order for TensorFlow's stateless operations.

    Args:
        seed: Seed of the run.
        epoch: Integer scalar.

    Returns:
        int64 [2]. The stateless operations hash both numbers.
    """
    return tf.stack([tf.constant(seed, tf.int64), tf.cast(epoch, tf.int64)])
