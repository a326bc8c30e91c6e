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
    return _run(strategy, function if is_chief(strategy) else lambda: None, "the chief worker")


def run_on_all_workers(strategy: tf.distribute.Strategy, function: Callable[[], _Result]) -> _Result:
    """Call a function on every worker, and end all workers if it fails on one of them.

    All workers must call this function.

    Args:
        strategy: The strategy of the workers.
        function: A function without arguments that does not wait for other workers.

    Returns:
        The result of the function.

    Raises:
        UserError: The function raised a UserError. On workers without an error, the message refers to the others.
    """
    return _run(strategy, function, "another worker")


def _run(strategy: tf.distribute.Strategy, function: Callable[[], _Result], place: str) -> _Result:
    """Call a function, and raise an error on all workers if it fails on one of them.

    Args:
        strategy: The strategy of the workers.
        function: The function.
        place: The worker that may have failed if this one has not, for the message.
    """
    failure: UserError | None = None
    try:
        result = function()
    except UserError as error:
        failure = error
    if not is_true_on_all_workers(strategy, failure is None):
        raise failure or UserError(f"{place} stopped with an error; see the message of {place}")
    return result
