"""Brightness, saturation and contrast at special values."""

import numpy as np
import tensorflow as tf

from sagan_tf.augmentation.color import change_color


def test_minimum_of_each_strength() -> None:
    """Change the brightness, saturation or contrast of an image with a red and a blue pixel."""
    image = tf.constant([[[[1.0, -1.0, -1.0], [-1.0, -1.0, 1.0]]]])
    np.testing.assert_allclose(change_color(image, tf.constant([[0.0, 0.5, 0.5]])), image - 0.5, atol=1e-6)
    gray = change_color(image, tf.constant([[0.5, 0.0, 0.5]]))
    np.testing.assert_allclose(gray, tf.fill([1, 1, 2, 3], -1 / 3), atol=1e-6)
    low = change_color(image, tf.constant([[0.5, 0.5, 0.0]]))
    np.testing.assert_allclose(low, -1 / 3 + (image + 1 / 3) / 2, atol=1e-6)
