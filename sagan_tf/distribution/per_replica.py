"""Division of a batch among the replicas of a strategy, outside of training."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf


def split_over_replicas(
    strategy: tf.distribute.Strategy, function: Callable[..., tuple[tf.Tensor, ...]]
) -> Callable[..., tuple[tf.Tensor, ...]]:
    """Return a version of a function that divides the rows among the replicas.

    Args:
        strategy: The strategy whose replicas compute.
        function: A function of tensors [n, ...] that returns a tuple of tensors [n, ...] and computes each row
            independently of the other rows.

    Returns:
        A function with the same arguments and results. The number of rows must be a multiple of the number of replicas.
    """

    def compute(*tensors: tf.Tensor) -> tuple[tf.Tensor, ...]:
        results = strategy.run(lambda *batches: tuple(function(*map(_take_replica_rows, batches))), args=tensors)
        if strategy.num_replicas_in_sync == 1:
            return results
        return tuple(strategy.gather(result, axis=0) for result in results)

    return compute


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
