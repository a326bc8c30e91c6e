"""Two replicas on one CPU, which `tests/conftest.py` splits into two logical devices."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

REPLICAS = 2


@functools.cache
def two_replicas() -> tf.distribute.Strategy:
    """Return a strategy with collectives, as on GPUs; `tests.training.tiny.two_replicas` has none, as on a CPU."""
    return tf.distribute.MirroredStrategy([f"CPU:{index}" for index in range(REPLICAS)])


def run_on_replicas(function: Callable[..., Any], *parts: Sequence[np.ndarray]) -> list[Any]:
    """Run a function on each replica with its part of each argument, and return the results of each replica."""
    strategy = two_replicas()

    def distribute(values: Sequence[np.ndarray]) -> Any:
        return strategy.experimental_distribute_values_from_function(
            lambda context: tf.constant(values[context.replica_id_in_sync_group])
        )

    step = tf.function(lambda *args: strategy.run(function, args), autograph=False)
    results = step(*map(distribute, parts))
    nested = [strategy.experimental_local_results(result) for result in tf.nest.flatten(results)]
    return [[value[index].numpy() for value in nested] for index in range(REPLICAS)]


def values_on_replicas(variable: keras.Variable) -> list[np.ndarray]:
    return [value.numpy() for value in two_replicas().experimental_local_results(variable.value)]
