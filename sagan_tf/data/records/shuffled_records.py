"""The records of one epoch in a random order."""

from __future__ import annotations

import tensorflow as tf

from sagan_tf.data.records.record_files import FileCheck, RecordFile, make_range_dataset, make_range_reader

_MAX_INTERLEAVED_FILES = 16


def shuffle_records(
    files: tuple[RecordFile, ...],
    seed: tf.Tensor,
    shuffle_buffer_size: int,
    check: FileCheck,
    within: tuple[tf.Tensor, tf.Tensor] | None,
) -> tf.data.Dataset:
    """Return the shuffled records of an epoch.

    Args:
        files: Ranges of files.
        seed: int64 [2], the seed of the epoch's order.
        shuffle_buffer_size: Number of records that are held for shuffling.
        check: Checks a file before it is read.
        within: Range (start, stop) of the records to read, counted over all `files`, int64 scalars. None for all.

    Returns:
        A dataset of (index, number of the record in its file, serialized record).
    """
    order = tf.random.experimental.stateless_shuffle(tf.range(len(files)), seed=seed, alg="philox")
    records = make_range_dataset(files, order, within).interleave(
        make_range_reader(files, check),
        cycle_length=min(_MAX_INTERLEAVED_FILES, len(files)),
        num_parallel_calls=tf.data.AUTOTUNE,
        deterministic=True,
    )
    buffer_seed = tf.random.stateless_uniform([], seed=seed, minval=None, maxval=None, dtype=tf.int64, alg="philox")
    return records.shuffle(shuffle_buffer_size, seed=buffer_seed, reshuffle_each_iteration=False)
