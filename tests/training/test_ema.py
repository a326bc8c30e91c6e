"""Tests of the moving average of the generator."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from sagan_tf.training.ema import copy_variables, create_ema_decay, move_average
from tests.training.tiny import tiny_config, two_replicas


def test_the_average_is_updated_on_every_replica():
    strategy = two_replicas()
    with strategy.scope():
        average, variable = keras.Variable([1.0, 2.0]), keras.Variable([3.0, -2.0])

    @tf.function
    def move(decay: tf.Tensor) -> None:
        strategy.run(move_average, ([average], [variable], decay))

    move(tf.constant(0.75))
    for copy in average.value.values:
        np.testing.assert_allclose(copy.numpy(), [1.5, 1.0])
    move(tf.constant(0.0))
    for copy in average.value.values:
        np.testing.assert_array_equal(copy.numpy(), [3.0, -2.0])


def test_copy_variables():
    source, target = keras.Variable([0.1, 0.7]), keras.Variable([0.0, 0.0])
    copy_variables([source], [target])
    np.testing.assert_array_equal(target.numpy(), source.numpy())


def test_the_half_life_in_images():
    """With ramp-up it is at most a fraction of the images so far, as in StyleGAN2-ADA."""
    decay = create_ema_decay(tiny_config(ema_half_life_images=400).training)
    assert float(decay(tf.constant(1, tf.int64))) ** 100 == pytest.approx(0.5, rel=1e-4)  # 4 images per update
    decay = create_ema_decay(tiny_config(ema_half_life_images=400, ema_ramp_up=0.05).training)
    for updates in (1, 2, 1000, 2001, 4000):
        half_life = min(400, (updates - 1) * 4 * 0.05)
        expected = 0.5 ** (4 / max(half_life, 1e-8))
        assert float(decay(tf.constant(updates, tf.int64))) == pytest.approx(expected, rel=1e-5)
