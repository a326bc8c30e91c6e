"""From a source to the batches that the training loop and the reference statistics take."""

from __future__ import annotations

import os

import tensorflow as tf

from sagan_tf.data.images.preprocessing import flip_at_random, scale_to_unit_range
from sagan_tf.data.sources.source import Source
from sagan_tf.errors import UserError

_BATCHES_AHEAD = 4
"""Made ready while others are worked on: enough to even out what single images take, and few enough to keep."""


def training_dataset(
    source: Source,
    *,
    batch_size: int,
    seed: int,
    position: int,
    random_flip: bool,
    shard_index: int = 0,
    num_shards: int = 1,
) -> tf.data.Dataset:
    """Return an endless stream of training batches; a function of its arguments, with no state of its own to save.

    Args:
        source: the data set.
        batch_size: images in each batch of this shard.
        seed: seed of order and flips.
        position: where in the stream to start: 0, or the last position consumed plus 1.
        random_flip: flip every other image left to right, at random.
        shard_index: which of `num_shards` readers this is.
        num_shards: readers that share the data set.

    Returns:
        Dataset of {"images": float32 [batch_size, resolution, resolution, image_channels] in [-1, 1], "labels": int32
        [batch_size], "positions": int64 [batch_size], ascending}.

    Raises:
        UserError: the data set has fewer images than a batch of all shards.
    """
    if batch_size * num_shards > source.num_examples:
        raise UserError(
            f"global_batch_size: expected at most {source.num_examples}, the number of images in {source.name}, "
            f"received {batch_size * num_shards}"
        )

    def finish(batch: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        images, positions = batch["image"], batch["position"]
        if random_flip:
            images = flip_at_random(images, seed=seed, positions=positions)
        # Scaled here rather than one by one: a quarter of the bytes to gather, one operation for the whole batch.
        return {"images": scale_to_unit_range(images), "labels": batch["label"], "positions": positions}

    dataset = source.chunks(seed=seed, position=position, shard_index=shard_index, num_shards=num_shards)
    dataset = dataset.rebatch(batch_size, drop_remainder=True).map(finish)
    return dataset.prefetch(_BATCHES_AHEAD).with_options(_options())


def single_pass_dataset(source: Source, *, batch_size: int) -> tf.data.Dataset:
    """Return every readable image once, unflipped, in a fixed order: for statistics of the data set.

    Args:
        source: the data set.
        batch_size: images in each batch; the last may have fewer.

    Returns:
        Dataset of {"images": uint8 [batch, resolution, resolution, image_channels], "labels": int32 [batch]}.
    """
    examples = source.examples(seed=0, position=0)
    epoch = examples.take_while(lambda example: example["position"] < source.num_examples)
    batches = epoch.batch(batch_size).map(lambda batch: {"images": batch["image"], "labels": batch["label"]})
    return batches.prefetch(_BATCHES_AHEAD).with_options(_options())


def _options() -> tf.data.Options:
    options = tf.data.Options()
    options.deterministic = True
    # An iterator that is dropped waits for the thread that tunes it, which sleeps for seconds, and longer the longer it
    # has run. There is little to tune: images are decoded by as many threads as there are cores.
    options.autotune.enabled = False
    if tf.config.list_physical_devices("GPU"):
        # Decoding would otherwise take its threads from the pool that starts the GPU's kernels.
        options.threading.private_threadpool_size = os.cpu_count() or 1
    # The source shards by position; TensorFlow must not do so once more.
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
    return options
