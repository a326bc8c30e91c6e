"""Class-conditional batch normalization compared with NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from sagan_tf.layers import ConditionalBatchNormalization
from tests.layers.replicas import run_on_replicas, two_replicas

CLASSES, CHANNELS = 4, 3
EPSILON = 1e-2
GAMMAS = np.arange(1.0, 13.0, dtype=np.float32).reshape(CLASSES, CHANNELS)
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


def gradients(layer: ConditionalBatchNormalization, x: tf.Tensor, weights: np.ndarray) -> list[np.ndarray]:
    """Return the gradients of the inputs, of gamma and of beta."""
    with tf.GradientTape() as tape:
        tape.watch(x)
        loss = tf.reduce_sum(weights * layer((x, LABELS), training=True))
    found = tape.gradient(loss, [x, layer.gain.value, layer.bias.value])
    return [tf.convert_to_tensor(gradient).numpy() for gradient in found]


@pytest.mark.parametrize("synchronized", [False, True])
@pytest.mark.parametrize("shift", [0.0, 100.0])
def test_gradients(synchronized: bool, shift: float) -> None:
    x, layer = tf.constant(shift + images()), make_layer(synchronized=synchronized)
    layer.moving_mean.assign(tf.fill([CHANNELS], shift))  # synchronized replicas compute their variance about it
    weights = np.random.default_rng(2).normal(size=x.shape).astype(np.float32)
    gamma, beta = tf.constant(GAMMAS), tf.constant(BETAS)
    with tf.GradientTape() as tape:
        tape.watch([x, gamma, beta])
        mean = tf.reduce_mean(x, [0, 1, 2])
        variance = tf.reduce_mean(tf.square(x - mean), [0, 1, 2])
        classes = tf.one_hot(LABELS, CLASSES)
        scale, offset = (classes @ gamma)[:, None, None], (classes @ beta)[:, None, None]
        y = scale * (x - mean) / tf.sqrt(variance + EPSILON) + offset
        loss = tf.reduce_sum(weights * y)
    actual = gradients(layer, x, weights)
    for gradient, expected in zip(actual, tape.gradient(loss, [x, gamma, beta]), strict=True):
        np.testing.assert_allclose(gradient, expected.numpy(), rtol=1e-4, atol=1e-3)
    assert not actual[1][1].any() and not actual[2][1].any()  # the absent class
    assert all(actual[1][label].all() for label in LABELS)


def test_synchronized_replicas_equal_one_replica_with_the_whole_batch() -> None:
    x = images()[:4]
    with two_replicas().scope():
        layer = make_layer(synchronized=True)
    results = run_on_replicas(lambda *part: [layer(part, training=True)], np.split(x, 2), np.split(LABELS[:4], 2))
    outputs = np.concatenate([result[0] for result in results])
    single = make_layer()((x, LABELS[:4]), training=True).numpy()
    np.testing.assert_allclose(outputs, single, rtol=1e-4, atol=1e-4)


def test_mixed_precision() -> None:
    layer = make_layer(dtype="mixed_float16")
    outputs = layer((images().astype(np.float16), LABELS), training=True)
    assert outputs.dtype == tf.float16
    assert {variable.dtype for variable in layer.variables} == {"float32"}
    single = make_layer()((images(), LABELS), training=True).numpy()
    np.testing.assert_allclose(outputs.numpy().astype(np.float32), single, rtol=1e-2, atol=0.05)


def test_initial_tables() -> None:
    layer = ConditionalBatchNormalization(CLASSES)
    layer.build(((None, 2, 3, CHANNELS), (None,)))
    assert [variable.name for variable in layer.trainable_variables] == ["gain", "bias"]
    np.testing.assert_array_equal(layer.gain.numpy(), np.ones((CLASSES, CHANNELS)))
    np.testing.assert_array_equal(layer.bias.numpy(), np.zeros((CLASSES, CHANNELS)))
    assert layer.compute_output_shape(((None, 2, 3, CHANNELS), (None,))) == (None, 2, 3, CHANNELS)


def test_zero_classes_are_rejected() -> None:
    with pytest.raises(ValueError, match="num_classes.* 0"):
        ConditionalBatchNormalization(0)


def test_config_round_trip() -> None:
    layer = ConditionalBatchNormalization(5, momentum=0.5, epsilon=1e-3, synchronized=True, name="normalization")
    copy = ConditionalBatchNormalization.from_config(layer.get_config())
    assert copy.get_config() == layer.get_config()
    assert (copy.num_classes, copy.momentum, copy.synchronized) == (5, 0.5, True)
