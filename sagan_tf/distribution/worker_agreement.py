"""Functions by which several workers agree on what they do next."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import tensorflow as tf

from sagan_tf.distribution.strategy import is_chief, num_workers
from sagan_tf.errors import UserError

_Result = TypeVar("_Result")


def all_agree(strategy: tf.distribute.Strategy, mine: bool) -> bool:
    """Return whether `mine` is true on every worker. All workers have to call it."""

    @tf.function(autograph=False)
    def gathered() -> tf.Tensor:
        return strategy.gather(strategy.run(lambda: tf.constant([float(mine)])), axis=0)

    if num_workers(strategy) == 1:
        return mine
    with strategy.scope():
        return bool(tf.reduce_all(gathered() == 1.0))


def largest_of_workers(strategy: tf.distribute.Strategy) -> Callable[[float], float]:
    """Return a function from one number of each worker to the largest of them. All workers have to call it."""
    if num_workers(strategy) == 1:
        return float

    @tf.function(autograph=False)
    def gather(number: tf.Tensor) -> tf.Tensor:
        return strategy.gather(strategy.run(lambda: number[None]), axis=0)

    def largest(number: float) -> float:
        with strategy.scope():
            return float(tf.reduce_max(gather(tf.constant(number, tf.float32))))

    return largest


def on_chief(strategy: tf.distribute.Strategy, check: Callable[[], _Result]) -> _Result | None:
    """Call `check` on the chief worker alone; an error there ends all workers. All workers have to call it.

    Args:
        strategy: Where the workers compute.
        check: Opens or checks what only the chief worker needs: results to write, images to read.

    Returns:
        What `check` returns; None on the other workers.

    Raises:
        UserError: `check` raised one; on the other workers, one that refers to the chief worker's message.
    """
    result, failure = None, None
    if is_chief(strategy):
        try:
            result = check()
        except UserError as error:
            failure = error
    if not all_agree(strategy, failure is None):
        raise failure or UserError("the chief worker stopped with an error; its own message says why")
    return result
