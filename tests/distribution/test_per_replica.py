"""Tests of the division of a batch among replicas: every row is computed once and keeps its position."""

from collections.abc import Callable

import numpy as np
import pytest
import tensorflow as tf

from sagan_tf.distribution.per_replica import split_over_replicas
from tests.training.tiny import one_device, two_replicas


def work(numbers: tf.Tensor, labels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Return a result for each row, and the replica that computed it with its number of rows."""
    replica = tf.distribute.get_replica_context().replica_id_in_sync_group
    origin = tf.stack([tf.cast(replica, tf.int32), tf.shape(labels)[0]])
    return numbers * 2.0 + tf.cast(labels, tf.float32)[:, tf.newaxis], tf.tile(
        origin[tf.newaxis], [tf.shape(labels)[0], 1]
    )


@pytest.mark.parametrize(("make", "replicas"), [(one_device, 1), (two_replicas, 2)])
@pytest.mark.parametrize("count", [2, 6])
def test_rows_are_divided_in_order(make: Callable[[], tf.distribute.Strategy], replicas: int, count: int) -> None:
    strategy = make()
    assert strategy.num_replicas_in_sync == replicas
    numbers: np.ndarray = np.arange(count * 3, dtype=np.float32).reshape(count, 3)
    labels: np.ndarray = np.arange(count, dtype=np.int32) * 100
    with strategy.scope():
        results, origins = tf.function(split_over_replicas(strategy, work), autograph=False)(
            tf.constant(numbers), tf.constant(labels)
        )
    np.testing.assert_array_equal(results, numbers * 2.0 + labels[:, np.newaxis])
    rows = count // replicas
    assert origins.numpy().tolist() == [[index // rows, rows] for index in range(count)]


@pytest.mark.parametrize("make", [one_device, two_replicas])
def test_function_is_traced_once_for_any_number_of_rows(make: Callable[[], tf.distribute.Strategy]) -> None:
    strategy, traces = make(), []

    def record_trace(numbers: tf.Tensor) -> tuple[tf.Tensor]:
        traces.append(numbers.shape)
        return (-numbers,)

    with strategy.scope():
        specification = tf.TensorSpec([None, 3], tf.float32)
        function = tf.function(split_over_replicas(strategy, record_trace), autograph=False).get_concrete_function(
            specification
        )
    for count in (2, 8):
        numbers = np.random.default_rng(count).normal(size=(count, 3)).astype(np.float32)
        np.testing.assert_array_equal(function(tf.constant(numbers))[0], -numbers)
    assert len(traces) == strategy.num_replicas_in_sync and all(tuple(shape) == (None, 3) for shape in traces)


def two_collective_replicas() -> tf.distribute.Strategy:
    """Create replicas that gather as those on several GPUs do."""
    return tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])


@pytest.mark.parametrize("make", [one_device, two_replicas, two_collective_replicas])
def test_images_and_features_without_columns_are_returned(make: Callable[[], tf.distribute.Strategy]) -> None:
    """The collective operation of GPUs and of several workers has no uint8 and no bool."""
    strategy = make()

    def invert(images: tf.Tensor) -> tuple[tf.Tensor, ...]:
        return 255 - images, tf.zeros([tf.shape(images)[0], 0], tf.string), images > 100

    images = np.random.default_rng(0).integers(0, 256, (4, 3, 3, 1)).astype(np.uint8)
    with strategy.scope():
        inverted, empty, is_bright = tf.function(split_over_replicas(strategy, invert), autograph=False)(
            tf.constant(images)
        )
    assert inverted.dtype == tf.uint8 and is_bright.dtype == tf.bool and empty.shape == (4, 0)
    np.testing.assert_array_equal(inverted, 255 - images)
    np.testing.assert_array_equal(is_bright, images > 100)
