"""Division of a batch among the replicas of a strategy, outside of training."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

_GATHERED_DTYPES = (tf.float32, tf.float16, tf.float64, tf.int32, tf.int64)
"""Types of the collective operation that gathers from GPUs and from several workers."""


def split_over_replicas(
    strategy: tf.distribute.Strategy, function: Callable[..., tuple[tf.Tensor, ...]]
) -> Callable[..., tuple[tf.Tensor, ...]]:
    """Return a version of a function that divides the rows among the replicas.

    Args:
        strategy: The strategy whose replicas compute.
        function: A function of tensors [n, ...] that returns a tuple of tensors [n, ...] and computes each row
            independently of the other rows. Its results are floats, or integers in the range of int32 or of type int64.

    Returns:
        A function with the same arguments and results. The number of rows must be a multiple of the number of replicas.
    """

    def compute(*tensors: tf.Tensor) -> tuple[tf.Tensor, ...]:
        results = strategy.run(lambda *batches: tuple(function(*map(_take_replica_rows, batches))), args=tensors)
        if strategy.num_replicas_in_sync == 1:
            return results
        return tuple(_gather(strategy, result) for result in results)

    return compute


def _gather(strategy: tf.distribute.Strategy, result: tf.Tensor) -> tf.Tensor:
    """Return the rows of all replicas. A type that cannot be gathered travels as int32, such as uint8 of images."""
    local = strategy.experimental_local_results(result)[0]
    if 0 in local.shape[1:]:  # nothing to send, such as the features of an evaluation that needs images only
        return tf.zeros([tf.shape(local)[0] * strategy.num_replicas_in_sync, *local.shape[1:]], local.dtype)
    if local.dtype in _GATHERED_DTYPES:
        return strategy.gather(result, axis=0)
    numbers = strategy.run(lambda rows: tf.cast(rows, tf.int32), args=(result,))
    return tf.cast(strategy.gather(numbers, axis=0), local.dtype)


def _take_replica_rows(batch: tf.Tensor) -> tf.Tensor:
    """Return the rows of this replica from a batch that every replica has completely."""
    context = tf.distribute.get_replica_context()
    if context.num_replicas_in_sync == 1:
        return batch
    rows = tf.shape(batch)[0] // context.num_replicas_in_sync
    first = tf.cast(context.replica_id_in_sync_group, tf.int32) * rows
    row_shape = batch.shape[1:]
    # Slice by size and not by end: XLA, and thus a TPU, cannot infer the number of rows between two computed positions.
    return tf.slice(batch, [first, *[0] * len(row_shape)], [rows, *row_shape])
