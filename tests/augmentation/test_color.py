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


def test_saturation_does_not_change_gray_images() -> None:
    images = np.random.default_rng(0).uniform(-1, 1, (4, 8, 8, 1)).astype(np.float32)
    augmented = [change_color(images, tf.constant([[0.3, saturation, 0.9]] * 4)) for saturation in (0.0, 0.9)]
    np.testing.assert_array_equal(*augmented)


def test_alpha_is_not_changed_and_has_no_effect() -> None:
    images = np.random.default_rng(0).uniform(-1, 1, (4, 8, 8, 4)).astype(np.float32)
    draws = np.random.default_rng(1).uniform(0, 1, (4, 3)).astype(np.float32)
    augmented = change_color(images, draws).numpy()
    np.testing.assert_array_equal(augmented[..., 3:], images[..., 3:])
    np.testing.assert_array_equal(augmented[..., :3], change_color(images[..., :3], draws))
