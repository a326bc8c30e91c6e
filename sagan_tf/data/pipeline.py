"""Batches of images from a source, for the training loop and for statistics of a data set."""

from __future__ import annotations

import tensorflow as tf

from sagan_tf.data.images.preprocessing import flip_at_random, scale_to_unit_range
from sagan_tf.data.sources.source import Source
from sagan_tf.environment.cores import count_usable_cores

PREFETCHED_BATCHES = 4
"""Enough to even out the different times that single images take, and few enough to keep in memory."""


def make_training_dataset(
    source: Source,
    *,
    batch_size: int,
    seed: int,
    position: int,
    random_flip: bool,
    shard_index: int = 0,
    num_shards: int = 1,
) -> tf.data.Dataset:
    """Create an endless dataset of training batches.

    A batch continues with the next epoch where an epoch ends, so that a data set may have fewer images than a batch.

    The dataset is a function of the arguments alone. It has no state of its own that would have to be saved.

    Args:
        source: The data set.
        batch_size: Images in each batch of this shard.
        seed: Seed of the order and of the flips.
        position: Where in the stream to start: 0, or the last position consumed plus 1.
        random_flip: Whether to flip each image left to right with probability 1/2.
        shard_index: Index of this reader among `num_shards` readers.
        num_shards: Number of readers that share the data set.

    Returns:
        A dataset of {"images": float32 [batch_size, resolution, resolution, image_channels] in [-1, 1], "labels": int32
        [batch_size], "positions": int64 [batch_size], ascending}.
    """

    def finish(batch: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        images, positions = batch["image"], batch["position"]
        if random_flip:
            images = flip_at_random(images, seed=seed, positions=positions)
        # Scale whole batches and not single images: a quarter of the bytes to gather, and one operation per batch.
        return {"images": scale_to_unit_range(images), "labels": batch["label"], "positions": positions}

    dataset = source.chunks(seed=seed, position=position, shard_index=shard_index, num_shards=num_shards)
    dataset = dataset.rebatch(batch_size, drop_remainder=True).map(finish)
    return dataset.prefetch(PREFETCHED_BATCHES).with_options(_make_options())


def make_single_pass_dataset(source: Source, *, batch_size: int) -> tf.data.Dataset:
    """Create a dataset of every readable image once, unflipped, in a fixed order.

    Args:
        source: The data set.
        batch_size: Images in each batch. The last batch may have fewer.

    Returns:
        A dataset of {"images": uint8 [batch, resolution, resolution, image_channels], "labels": int32 [batch]}.
    """
    examples = source.examples(seed=0, position=0)
    epoch = examples.take_while(lambda example: example["position"] < source.num_examples)
    batches = epoch.batch(batch_size).map(lambda batch: {"images": batch["image"], "labels": batch["label"]})
    return batches.prefetch(PREFETCHED_BATCHES).with_options(_make_options())


def _make_options() -> tf.data.Options:
    options = tf.data.Options()
    options.deterministic = True
    # Deleting an iterator waits for TensorFlow's autotune thread, which sleeps for seconds, and longer the longer it
    # has run. There is little to tune: as many threads as there are cores decode the images.
    options.autotune.enabled = False
    if tf.config.list_physical_devices("GPU"):
        # Decoding would otherwise take its threads from the pool that starts the GPU's kernels.
        options.threading.private_threadpool_size = count_usable_cores()
    # The source shards by position; TensorFlow must not shard again.
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
    return options
