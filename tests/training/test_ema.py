import keras
import numpy as np
import tensorflow as tf

from sagan_tf.training.ema import copy_variables, move_average
from tests.training.tiny import two_replicas


def test_average_moves_by_its_decay_on_every_replica():
    strategy = two_replicas()
    with strategy.scope():
        average, variable = keras.Variable([1.0, 2.0]), keras.Variable([3.0, -2.0])

    @tf.function
    def move(decay: tf.Tensor) -> None:
        move_average([average], [variable], decay)

    with strategy.scope():
        move(tf.constant(0.75))
        for copy in average.value.values:
            np.testing.assert_allclose(copy.numpy(), [1.5, 1.0])
        move(tf.constant(0.0))
        for copy in average.value.values:
            np.testing.assert_array_equal(copy.numpy(), [3.0, -2.0])


def test_copy():
    source, target = keras.Variable([0.1, 0.7]), keras.Variable([0.0, 0.0])
    copy_variables([source], [target])
    np.testing.assert_array_equal(target.numpy(), source.numpy())
