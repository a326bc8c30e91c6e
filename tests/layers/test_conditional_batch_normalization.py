"""Class-conditional batch normalization compared with NumPy."""

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from sagan_tf.layers import ConditionalBatchNormalization
from tests.layers.gradients import assert_close, outputs_and_gradients

CLASSES, CHANNELS = 4, 3
EPSILON = 1e-2
GAMMAS: np.ndarray = np.arange(1.0, 13.0, dtype=np.float32).reshape(CLASSES, CHANNELS)
BETAS = -0.5 * GAMMAS[::-1]
LABELS = np.array([2, 0, 2, 3, 0], np.int32)  # class 1 is absent


def images() -> np.ndarray:
    return np.random.default_rng(1).normal(2.0, 3.0, size=(len(LABELS), 2, 3, CHANNELS)).astype(np.float32)


def make_layer(**options: Any) -> ConditionalBatchNormalization:
    layer = ConditionalBatchNormalization(CLASSES, epsilon=EPSILON, **options)
    layer.build(((None, 2, 3, CHANNELS), (None,)))
    layer.gain.assign(GAMMAS)
    layer.bias.assign(BETAS)
    return layer


def normalize_by_class(x: np.ndarray, labels: np.ndarray, mean: Any, variance: Any) -> np.ndarray:
    """Normalize each image with the rows of its class in the two tables."""
    y = np.empty(x.shape)
    for index, label in enumerate(labels):
        y[index] = GAMMAS[label] * (x[index] - mean) / np.sqrt(variance + EPSILON) + BETAS[label]
    return y


@pytest.mark.parametrize("synchronized", [False, True])
def test_each_image_has_the_gamma_and_beta_of_its_class(synchronized: bool) -> None:
    x, layer = images(), make_layer(synchronized=synchronized)
    mean, variance = x.mean(axis=(0, 1, 2)), x.var(axis=(0, 1, 2))
    outputs = layer((x, LABELS), training=True).numpy()
    np.testing.assert_allclose(outputs, normalize_by_class(x, LABELS, mean, variance), rtol=1e-4, atol=1e-4)
    # All classes share one set of statistics.
    np.testing.assert_allclose(layer.moving_mean.numpy(), 0.1 * mean, rtol=1e-4)
    np.testing.assert_allclose(layer.moving_variance.numpy(), 0.9 + 0.1 * variance, rtol=1e-4)


def test_inference_uses_the_moving_statistics() -> None:
    x, layer = images(), make_layer()
    layer.moving_mean.assign([1.0, 2.0, 3.0])
    layer.moving_variance.assign([4.0, 5.0, 6.0])
    y = normalize_by_class(x, LABELS, np.array([1.0, 2.0, 3.0]), np.array([4.0, 5.0, 6.0]))
    np.testing.assert_allclose(layer((x, LABELS)).numpy(), y, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("synchronized", [False, True])
@pytest.mark.parametrize("shift", [0.0, 100.0])
def test_gradients(synchronized: bool, shift: float) -> None:
    layer, gamma, beta = make_layer(synchronized=synchronized), tf.constant(GAMMAS), tf.constant(BETAS)
    layer.moving_mean.assign(tf.fill([CHANNELS], shift))  # synchronized replicas compute their variance about it

    def normalize(x: tf.Tensor) -> tf.Tensor:
        mean = tf.reduce_mean(x, [0, 1, 2])
        variance = tf.reduce_mean(tf.square(x - mean), [0, 1, 2])
        classes = tf.one_hot(LABELS, CLASSES)
        scale, offset = (classes @ gamma)[:, None, None], (classes @ beta)[:, None, None]
        return scale * (x - mean) / tf.sqrt(variance + EPSILON) + offset

    tables = [layer.gain.value, layer.bias.value]
    found = outputs_and_gradients(lambda x: layer((x, LABELS), training=True), shift + images(), others=tables)
    assert_close(found, outputs_and_gradients(normalize, shift + images(), others=[gamma, beta]), 1e-3)
    for gradient in found[2:]:
        assert not gradient[1].numpy().any()  # the absent class
        assert all(gradient[label].numpy().all() for label in LABELS)


def test_initial_tables() -> None:
    layer = ConditionalBatchNormalization(CLASSES)
    layer.build(((None, 2, 3, CHANNELS), (None,)))
    np.testing.assert_array_equal(layer.gain.numpy(), np.ones((CLASSES, CHANNELS)))
    np.testing.assert_array_equal(layer.bias.numpy(), np.zeros((CLASSES, CHANNELS)))


def test_zero_classes_are_rejected() -> None:
    with pytest.raises(ValueError, match="num_classes.* 0"):
        ConditionalBatchNormalization(0)
