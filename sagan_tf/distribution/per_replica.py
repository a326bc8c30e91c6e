"""Work on a whole batch shared by the replicas of a strategy, outside of training: each takes its rows."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf


def on_replicas(
    strategy: tf.distribute.Strategy, function: Callable[..., tuple[tf.Tensor, ...]]
) -> Callable[..., tuple[tf.Tensor, ...]]:
    """Return a function of tensors [n, ...] whose rows are divided among the replicas.

    Args:
        strategy: where it runs.
        function: tensors [n, ...] to a tuple of tensors [n, ...], row by row.
    """

    def of_whole(*tensors: tf.Tensor) -> tuple[tf.Tensor, ...]:
        results = strategy.run(lambda *whole: tuple(function(*map(_own_rows, whole))), args=tensors)
        if strategy.num_replicas_in_sync == 1:
            return results
        return tuple(strategy.gather(one, axis=0) for one in results)

    return of_whole


def _own_rows(batch: tf.Tensor) -> tf.Tensor:
    """This replica's rows of a batch that every replica has whole."""
    context = tf.distribute.get_replica_context()
    if context.num_replicas_in_sync == 1:
        return batch
    rows = tf.shape(batch)[0] // context.num_replicas_in_sync
    first = tf.cast(context.replica_id_in_sync_group, tf.int32) * rows
    others = batch.shape[1:]
    # A slice by its size, not by its end: XLA, and so a TPU, cannot see how many rows are between two computed places.
    return tf.slice(batch, [first, *[0] * len(others)], [rows, *others])
