"""Class-conditional batch normalisation against NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from sagan_tf.layers import ConditionalBatchNormalization
from tests.layers.replicas import run_on_replicas, two_replicas

CLASSES, CHANNELS = 4, 3
EPSILON = 1e-2
GAINS = np.arange(1.0, 13.0, dtype=np.float32).reshape(CLASSES, CHANNELS)
BIASES = -0.5 * GAINS[::-1]
LABELS = np.array([2, 0, 2, 3, 0], np.int32)  # class 1 is absent


def images() -> np.ndarray:
    return np.random.default_rng(1).normal(2.0, 3.0, size=(len(LABELS), 2, 3, CHANNELS)).astype(np.float32)


def make(**options: Any) -> ConditionalBatchNormalization:
    layer = ConditionalBatchNormalization(CLASSES, epsilon=EPSILON, **options)
    layer.build(((None, 2, 3, CHANNELS), (None,)))
    layer.gain.assign(GAINS)
    layer.bias.assign(BIASES)
    return layer


def expected(x: np.ndarray, labels: np.ndarray, mean: Any, variance: Any) -> np.ndarray:
    """Image by image, with its class's row of the two tables."""
    y = np.empty(x.shape)
    for index, label in enumerate(labels):
        y[index] = GAINS[label] * (x[index] - mean) / np.sqrt(variance + EPSILON) + BIASES[label]
    return y


@pytest.mark.parametrize("synchronized", [False, True])
def test_each_image_has_the_gain_and_bias_of_its_class(synchronized: bool) -> None:
    x, layer = images(), make(synchronized=synchronized)
    mean, variance = x.mean(axis=(0, 1, 2)), x.var(axis=(0, 1, 2))
    outputs = layer((x, LABELS), training=True).numpy()
    np.testing.assert_allclose(outputs, expected(x, LABELS, mean, variance), rtol=1e-4, atol=1e-4)
    # One set of statistics for all classes.
    np.testing.assert_allclose(layer.moving_mean.numpy(), 0.1 * mean, rtol=1e-4)
    np.testing.assert_allclose(layer.moving_variance.numpy(), 0.9 + 0.1 * variance, rtol=1e-4)


def test_inference() -> None:
    x, layer = images(), make()
    layer.moving_mean.assign([1.0, 2.0, 3.0])
    layer.moving_variance.assign([4.0, 5.0, 6.0])
    y = expected(x, LABELS, np.array([1.0, 2.0, 3.0]), np.array([4.0, 5.0, 6.0]))
    np.testing.assert_allclose(layer((x, LABELS)).numpy(), y, rtol=1e-4, atol=1e-4)


def gradients(layer: ConditionalBatchNormalization, x: tf.Tensor, weights: np.ndarray) -> list[np.ndarray]:
    """Of the inputs, of the gains and of the biases."""
    with tf.GradientTape() as tape:
        tape.watch(x)
        loss = tf.reduce_sum(weights * layer((x, LABELS), training=True))
    found = tape.gradient(loss, [x, layer.gain.value, layer.bias.value])
    return [tf.convert_to_tensor(gradient).numpy() for gradient in found]


@pytest.mark.parametrize("synchronized", [False, True])
@pytest.mark.parametrize("shift", [0.0, 100.0])
def test_gradients(synchronized: bool, shift: float) -> None:
    x, layer = tf.constant(shift + images()), make(synchronized=synchronized)
    layer.moving_mean.assign(tf.fill([CHANNELS], shift))  # synchronised replicas take their variance about it
    weights = np.random.default_rng(2).normal(size=x.shape).astype(np.float32)
    gain, bias = tf.constant(GAINS), tf.constant(BIASES)
    with tf.GradientTape() as tape:
        tape.watch([x, gain, bias])
        mean = tf.reduce_mean(x, [0, 1, 2])
        variance = tf.reduce_mean(tf.square(x - mean), [0, 1, 2])
        classes = tf.one_hot(LABELS, CLASSES)
        y = (classes @ gain)[:, None, None] * (x - mean) / tf.sqrt(variance + EPSILON) + (classes @ bias)[:, None, None]
        loss = tf.reduce_sum(weights * y)
    ours = gradients(layer, x, weights)
    for one, other in zip(ours, tape.gradient(loss, [x, gain, bias]), strict=True):
        np.testing.assert_allclose(one, other.numpy(), rtol=1e-4, atol=1e-3)
    assert not ours[1][1].any() and not ours[2][1].any()  # the absent class
    assert all(ours[1][label].all() for label in LABELS)


def test_synchronized_replicas_equal_one_on_the_whole_batch() -> None:
    x = images()[:4]
    with two_replicas().scope():
        layer = make(synchronized=True)
    results = run_on_replicas(lambda *part: [layer(part, training=True)], np.split(x, 2), np.split(LABELS[:4], 2))
    outputs = np.concatenate([result[0] for result in results])
    single = make()((x, LABELS[:4]), training=True).numpy()
    np.testing.assert_allclose(outputs, single, rtol=1e-4, atol=1e-4)


def test_mixed_precision() -> None:
    layer = make(dtype="mixed_float16")
    outputs = layer((images().astype(np.float16), LABELS), training=True)
    assert outputs.dtype == tf.float16
    assert {variable.dtype for variable in layer.variables} == {"float32"}
    single = make()((images(), LABELS), training=True).numpy()
    np.testing.assert_allclose(outputs.numpy().astype(np.float32), single, rtol=1e-2, atol=0.05)


def test_the_tables() -> None:
    layer = ConditionalBatchNormalization(CLASSES)
    layer.build(((None, 2, 3, CHANNELS), (None,)))
    assert [variable.name for variable in layer.trainable_variables] == ["gain", "bias"]
    np.testing.assert_array_equal(layer.gain.numpy(), np.ones((CLASSES, CHANNELS)))
    np.testing.assert_array_equal(layer.bias.numpy(), np.zeros((CLASSES, CHANNELS)))
    assert layer.compute_output_shape(((None, 2, 3, CHANNELS), (None,))) == (None, 2, 3, CHANNELS)


def test_without_classes() -> None:
    with pytest.raises(ValueError, match="`num_classes` must be at least 1. Received: 0"):
        ConditionalBatchNormalization(0)


def test_config_round_trip() -> None:
    layer = ConditionalBatchNormalization(5, momentum=0.5, epsilon=1e-3, synchronized=True, name="mine")
    copy = ConditionalBatchNormalization.from_config(layer.get_config())
    assert copy.get_config() == layer.get_config()
    assert (copy.num_classes, copy.momentum, copy.synchronized) == (5, 0.5, True)
