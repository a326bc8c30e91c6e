"""Functions by which several workers agree on how to continue."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import tensorflow as tf

from sagan_tf.distribution.strategy import count_workers, is_chief
from sagan_tf.errors import UserError

_Result = TypeVar("_Result")


def is_true_on_all_workers(strategy: tf.distribute.Strategy, value: bool) -> bool:
    """Return whether a value is true on every worker.

    All workers must call this function.

    Args:
        strategy: The strategy of the workers.
        value: The value of this worker.
    """

    @tf.function(autograph=False)
    def gather_values() -> tf.Tensor:
        return strategy.gather(strategy.run(lambda: tf.constant([float(value)])), axis=0)

    if count_workers(strategy) == 1:
        return value
    with strategy.scope():
        return bool(tf.reduce_all(gather_values() == 1.0))


def create_worker_maximum(strategy: tf.distribute.Strategy) -> Callable[[float], float]:
    """Return a function that computes the maximum of a number over all workers.

    All workers must call the returned function with their own number.
    """
    if count_workers(strategy) == 1:
        return float

    @tf.function(autograph=False)
    def gather(number: tf.Tensor) -> tf.Tensor:
        return strategy.gather(strategy.run(lambda: number[None]), axis=0)

    def compute_maximum(number: float) -> float:
        with strategy.scope():
            return float(tf.reduce_max(gather(tf.constant(number, tf.float32))))

    return compute_maximum


def run_on_chief(strategy: tf.distribute.Strategy, function: Callable[[], _Result]) -> _Result | None:
    """Call a function on the chief worker only, and end all workers if it fails.

    All workers must call this function.

    Args:
        strategy: The strategy of the workers.
        function: A function without arguments that opens or checks something that only the chief worker needs, such as
            results to write or images to read.

    Returns:
        The result of the function; None on the other workers.

    Raises:
        UserError: The function raised a UserError. On the other workers, the message refers to that of the chief.
    """
    result, failure = None, None
    if is_chief(strategy):
        try:
            result = function()
        except UserError as error:
            failure = error
    if not is_true_on_all_workers(strategy, failure is None):
        raise failure or UserError("the chief worker stopped with an error; see the message of the chief worker")
    return result
