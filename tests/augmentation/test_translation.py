"""Distribution of translations."""

import numpy as np
import tensorflow as tf

from sagan_tf.augmentation.translation import translate


def test_every_offset_up_to_an_eighth_is_equally_likely() -> None:
    image: np.ndarray = np.zeros((1, 32, 32, 1), np.float32)
    image[0, 16, 16] = 1.0
    draws = tf.random.stateless_uniform([8100, 2], [0, 1])
    moved = translate(tf.repeat(image, 8100, axis=0), draws).numpy()[..., 0]
    np.testing.assert_array_equal(moved.sum((1, 2)), 1.0)
    counts = moved.sum(0)
    assert counts[12:21, 12:21].sum() == 8100
    assert np.abs(counts[12:21, 12:21] - 100).max() < 45  # standard deviation 10
