"""Probability of a flip."""

import numpy as np
import tensorflow as tf

from sagan_tf.augmentation.flip import flip


def test_half_of_the_images_are_flipped() -> None:
    images = tf.random.stateless_uniform([4000, 1, 2, 1], [0, 1])
    flipped = np.any(flip(images, tf.random.stateless_uniform([4000, 1], [0, 2])) != images, axis=(1, 2, 3))
    assert abs(flipped.mean() - 0.5) < 0.04  # standard deviation 0.008
