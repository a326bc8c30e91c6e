"""Every augmentation compared with loops over pixels, in half precision and compiled by XLA."""

import numpy as np
import pytest
import tensorflow as tf

from sagan_tf.augmentation import AUGMENTATIONS
from tests.augmentation.oracle import ORACLES

BATCH = 6
RANDOM = np.random.default_rng(5)
every_augmentation = pytest.mark.parametrize("name", AUGMENTATIONS)


def make_inputs(name: str, channels: int, size: int = 16) -> tuple[np.ndarray, np.ndarray]:
    """Return images and draws; the first two images have the smallest and the largest possible draws."""
    images = RANDOM.uniform(-1, 1, (BATCH, size, 8 * (size // 8) + 8, channels)).astype(np.float32)
    draws = RANDOM.uniform(0, 1, (BATCH, AUGMENTATIONS[name].num_draws)).astype(np.float32)
    draws[0], draws[1] = 0.0, np.nextafter(np.float32(1), np.float32(0))
    return images, draws


@pytest.mark.parametrize("channels", [1, 3, 4])
@every_augmentation
def test_values_equal_loops_over_pixels(name: str, channels: int) -> None:
    images, draws = make_inputs(name, channels)
    augmented = AUGMENTATIONS[name].augment(tf.constant(images), tf.constant(draws))
    assert augmented.dtype == tf.float32
    expected = [ORACLES[name](*pair) for pair in zip(images.astype(np.float64), draws, strict=True)]
    np.testing.assert_allclose(augmented, expected, atol=2e-6)


@pytest.mark.parametrize("channels", [1, 4])
@every_augmentation
def test_gradients_equal_those_of_the_transposed_map(name: str, channels: int) -> None:
    """Each augmentation is affine in the image, so its matrix can be computed column by column."""
    images, draws = make_inputs(name, channels, size=8)
    weights = RANDOM.normal(size=images.shape)
    x = tf.constant(images)
    with tf.GradientTape() as outer:
        outer.watch(x)
        with tf.GradientTape() as inner:
            inner.watch(x)
            total = tf.reduce_sum(weights.astype(np.float32) * AUGMENTATIONS[name].augment(x, tf.constant(draws)))
        gradient = inner.gradient(total, x)
        penalty = tf.reduce_sum(tf.square(gradient * x))
    shape = images.shape[1:]
    basis = np.eye(images[0].size).reshape(-1, *shape)
    for index in (0, 1, 2):
        constant = ORACLES[name](np.zeros(shape), draws[index])
        columns: list[float] = [
            np.sum(weights[index] * (ORACLES[name](image, draws[index]) - constant)) for image in basis
        ]
        np.testing.assert_allclose(gradient[index], np.reshape(columns, shape), atol=1e-5)
    # Gradient penalties differentiate once more; the first gradient does not depend on the images.
    np.testing.assert_allclose(outer.gradient(penalty, x), 2.0 * gradient**2 * x, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@every_augmentation
def test_half_precision(name: str, dtype: str) -> None:
    images, draws = make_inputs(name, 3)
    half = tf.cast(images, dtype)
    augmented = AUGMENTATIONS[name].augment(half, tf.constant(draws))
    exact = AUGMENTATIONS[name].augment(tf.cast(half, tf.float32), tf.constant(draws))
    assert augmented.dtype == half.dtype
    np.testing.assert_array_equal(tf.cast(augmented, tf.float32), tf.cast(tf.cast(exact, dtype), tf.float32))


@every_augmentation
def test_compiled_by_xla_with_static_shapes(name: str) -> None:
    images, draws = map(tf.constant, make_inputs(name, 3))

    @tf.function(jit_compile=True, autograph=False)
    def compiled(images: tf.Tensor, draws: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        with tf.GradientTape() as tape:
            tape.watch(images)
            augmented = AUGMENTATIONS[name].augment(images, draws)
            total = tf.reduce_sum(augmented * images)
        return augmented, tape.gradient(total, images)

    assert compiled.get_concrete_function(images, draws).output_shapes == (images.shape, images.shape)
    for actual, expected in zip(compiled(images, draws), compiled.python_function(images, draws), strict=True):
        np.testing.assert_allclose(actual, expected, atol=1e-5)
