"""Statistics of groups of images compared with NumPy."""

import numpy as np
import pytest
import tensorflow as tf

from sagan_tf.layers import MinibatchStatistics


def make_images(batch: int) -> np.ndarray:
    return np.random.default_rng(1).normal(2.0, 3.0, (batch, 2, 3, 5)).astype(np.float32)


def compute_deviations(x: np.ndarray, group_size: int) -> np.ndarray:
    """Return the mean standard deviation of each image's group."""
    groups = [x[start : start + group_size] for start in range(0, len(x), group_size)]
    return np.concatenate([np.full(len(group), np.sqrt(group.var(axis=0) + 1e-8).mean()) for group in groups])


@pytest.mark.parametrize("known_size", [True, False])
@pytest.mark.parametrize(("batch", "group_size"), [(8, 4), (6, 2), (7, 3), (2, 4), (1, 4)])
def test_values(batch: int, group_size: int, known_size: bool) -> None:
    x, layer = make_images(batch), MinibatchStatistics(group_size)
    spec = tf.TensorSpec([batch if known_size else None, 2, 3, 5])
    function = tf.function(layer, autograph=False, jit_compile=known_size, input_signature=[spec])
    for outputs in (function(x), layer(x)):
        assert outputs.shape == layer.compute_output_shape(x.shape) == (batch, 2, 3, 6)
        np.testing.assert_array_equal(outputs[..., :5], x)
        expected = np.broadcast_to(compute_deviations(x, group_size)[:, None, None], (batch, 2, 3))
        np.testing.assert_allclose(outputs[..., 5], expected, rtol=1e-5, atol=1e-7)


def test_gradients() -> None:
    """The gradient is (x - mean) / (N deviation), averaged over channels and locations."""
    x, weights = make_images(6), np.array([1.0, -2.0, 0.5, 3.0, 1.0, 1.0], np.float32)
    with tf.GradientTape() as tape:
        tape.watch(batch := tf.constant(x))
        loss = tf.reduce_sum(weights * MinibatchStatistics(3)(batch)[:, 0, 0, 5])
    expected = np.zeros_like(x)
    for rows in (slice(0, 3), slice(3, 6)):
        deviation = np.sqrt(x[rows].var(axis=0) + 1e-8)
        expected[rows] = weights[rows].sum() * (x[rows] - x[rows].mean(axis=0)) / (3 * deviation) / (2 * 3 * 5)
    np.testing.assert_allclose(tape.gradient(loss, batch), expected, rtol=1e-4, atol=1e-6)


def test_equal_images_have_finite_gradients_in_half_precision() -> None:
    layer = MinibatchStatistics(2, dtype="mixed_float16")
    with tf.GradientTape() as tape:
        tape.watch(batch := tf.fill([4, 2, 3, 5], tf.constant(1000.0, tf.float16)))
        outputs = layer(batch)
    assert outputs.dtype == tf.float16
    np.testing.assert_allclose(outputs[..., 5], 1e-4, rtol=1e-2)
    assert np.isfinite(tape.gradient(outputs, batch)).all()


def test_group_of_one_image_is_rejected() -> None:
    with pytest.raises(ValueError, match="group_size.* 1"):
        MinibatchStatistics(1)
