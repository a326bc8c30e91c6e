"""Averages of the moving statistics of a network on two replicas."""

import keras
import numpy as np
import tensorflow as tf

from sagan_tf.layers import BatchNormalization, average_moving_statistics
from tests.layers.replicas import run_on_replicas, two_replicas, values_on_replicas


def make_network() -> keras.Model:
    """Return a network of two batch normalizations, of which one is nested, and a dense layer."""
    inputs = keras.Input((2, 2, 3))
    inner = keras.Sequential([keras.layers.Dense(5), BatchNormalization(0.5)])
    return keras.Model(inputs, inner(BatchNormalization(0.75)(inputs)))


def make_parts() -> list[np.ndarray]:
    return list(np.random.default_rng(1).normal(size=(2, 4, 2, 2, 3)).astype(np.float32))


def test_statistics_become_means_over_replicas() -> None:
    with two_replicas().scope():
        model = make_network()

    def average(images: tf.Tensor) -> tf.Tensor:
        average_moving_statistics(model)
        return images

    run_on_replicas(lambda images: model(images, training=True), make_parts())
    before = [values_on_replicas(variable) for variable in model.variables]
    assert sum(first.tobytes() != second.tobytes() for first, second in before) == 4
    run_on_replicas(average, make_parts())
    for variable, (first, second) in zip(model.variables, before, strict=True):
        for value in values_on_replicas(variable):
            np.testing.assert_array_equal(value, (first + second) / 2.0, err_msg=variable.path)


def test_nothing_is_sent_on_one_replica_or_without_batch_normalization() -> None:
    model = make_network()
    before = [variable.numpy() for variable in model.variables]
    average_moving_statistics(model)
    for variable, value in zip(model.variables, before, strict=True):
        np.testing.assert_array_equal(variable.numpy(), value)
    strategy = two_replicas()
    with strategy.scope():
        dense = keras.layers.Dense(2)
        dense.build((None, 3))
    step = tf.function(lambda: strategy.run(lambda: average_moving_statistics(dense)), autograph=False)
    operations = step.get_concrete_function().graph.get_operations()
    assert not any(operation.type.startswith("Collective") for operation in operations)
