"""Batch normalisation against NumPy, on one and on two replicas."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from sagan_tf.layers import BatchNormalization
from tests.layers.replicas import run_on_replicas, two_replicas, values_on_replicas

CHANNELS = 3
EPSILON = 1e-2  # large enough for a wrong epsilon to show
MOMENTUM = 0.75
either_kernel = pytest.mark.parametrize("synchronized", [False, True])


def images(batch: int = 2, seed: int = 1) -> np.ndarray:
    """Few values a channel: with 8 of them the sample variance is a seventh above the population's."""
    values = np.random.default_rng(seed).normal(size=(batch, 2, 2, CHANNELS))
    return (values * [0.5, 1.0, 3.0] + [0.0, -2.0, 5.0]).astype(np.float32)


def make(**options: Any) -> BatchNormalization:
    layer = BatchNormalization(MOMENTUM, EPSILON, **options)
    layer.build((None, 2, 2, CHANNELS))
    layer.gain.assign([0.5, 1.0, 2.0])
    layer.bias.assign([-1.0, 0.0, 1.0])
    layer.moving_mean.assign([0.1, -1.0, 4.0])
    layer.moving_variance.assign([0.3, 1.5, 6.0])
    return layer


def standardized(x: np.ndarray, mean: Any, variance: Any) -> np.ndarray:
    return (x.astype(np.float64) - mean) / np.sqrt(np.asarray(variance) + EPSILON)


def moments(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and population variance of each channel."""
    return x.astype(np.float64).mean(axis=(0, 1, 2)), x.astype(np.float64).var(axis=(0, 1, 2))


def moved(before: Any, batch: Any) -> np.ndarray:
    return MOMENTUM * np.array(before) + (1.0 - MOMENTUM) * np.array(batch)


@either_kernel
def test_training_uses_the_statistics_of_the_batch(synchronized: bool) -> None:
    x = images()
    expected = [0.5, 1.0, 2.0] * standardized(x, *moments(x)) + [-1.0, 0.0, 1.0]
    np.testing.assert_allclose(make(synchronized=synchronized)(x, training=True).numpy(), expected, atol=1e-5)


@either_kernel
def test_moving_statistics(synchronized: bool) -> None:
    x, layer = images(), make(synchronized=synchronized)
    layer(x, training=True)
    mean, variance = moments(x)
    np.testing.assert_allclose(layer.moving_mean.numpy(), moved([0.1, -1.0, 4.0], mean), rtol=1e-5)
    np.testing.assert_allclose(layer.moving_variance.numpy(), moved([0.3, 1.5, 6.0], variance), rtol=1e-5)


@either_kernel
def test_inference_uses_the_moving_statistics_and_leaves_them(synchronized: bool) -> None:
    x, layer = images(), make(synchronized=synchronized)
    expected = [0.5, 1.0, 2.0] * standardized(x, [0.1, -1.0, 4.0], [0.3, 1.5, 6.0]) + [-1.0, 0.0, 1.0]
    before = [variable.numpy().tobytes() for variable in layer.variables]
    np.testing.assert_allclose(layer(x, training=False).numpy(), expected, atol=1e-5)
    np.testing.assert_allclose(layer(x).numpy(), expected, atol=1e-5)
    assert [variable.numpy().tobytes() for variable in layer.variables] == before


def test_a_stateless_scope_drops_the_moving_statistics() -> None:
    layer = make()
    before = layer.moving_mean.numpy()
    with keras.StatelessScope():
        layer(images(), training=True)
    np.testing.assert_array_equal(layer.moving_mean.numpy(), before)


def formula(x: tf.Tensor, gain: tf.Tensor, bias: tf.Tensor) -> tf.Tensor:
    """Batch normalisation from elementary operations; gain and bias [channels] or [batch, 1, 1, channels]."""
    mean = tf.reduce_mean(x, [0, 1, 2])
    variance = tf.reduce_mean(tf.square(x - mean), [0, 1, 2])
    return gain * (x - mean) / tf.sqrt(variance + EPSILON) + bias


def weighted_sum(y: tf.Tensor, weights: Any) -> tf.Tensor:
    """A loss whose gradient differs from place to place."""
    return tf.reduce_sum(weights * y + 0.1 * tf.square(y))


@either_kernel
def test_gradients(synchronized: bool) -> None:
    x, layer, weights = tf.constant(images()), make(synchronized=synchronized), images(seed=2)
    gain, bias = tf.constant(layer.gain.numpy()), tf.constant(layer.bias.numpy())
    with tf.GradientTape() as tape:
        tape.watch(x)
        loss = weighted_sum(layer(x, training=True), weights)
    gradients = tape.gradient(loss, [x, layer.gain.value, layer.bias.value])
    with tf.GradientTape() as tape:
        tape.watch([x, gain, bias])
        loss = weighted_sum(formula(x, gain, bias), weights)
    for ours, expected in zip(gradients, tape.gradient(loss, [x, gain, bias]), strict=True):
        np.testing.assert_allclose(ours.numpy(), expected.numpy(), rtol=1e-4, atol=1e-4)


@either_kernel
@pytest.mark.parametrize("training", [False, True])
def test_constant_channels_give_the_bias(synchronized: bool, training: bool) -> None:
    layer = make(synchronized=synchronized)
    layer.moving_mean.assign([300.0] * CHANNELS)
    outputs = layer(np.full([2, 2, 2, CHANNELS], 300.0, np.float32), training=training)
    np.testing.assert_allclose(outputs.numpy()[0, 0, 0], layer.bias.numpy(), atol=1e-3)
    assert np.all(np.isfinite(layer.moving_variance.numpy()))


def test_a_single_value_has_no_variance() -> None:
    layer = make()
    layer(images()[:1, :1, :1], training=True)
    np.testing.assert_allclose(layer.moving_variance.numpy(), moved([0.3, 1.5, 6.0], 0.0), rtol=1e-6)


def on_two_replicas(x: np.ndarray, weights: np.ndarray, synchronized: bool) -> tuple[BatchNormalization, list[Any]]:
    """The layer, and of each replica (outputs, gradients of inputs, gain and bias); half of `x` to each."""
    with two_replicas().scope():
        layer = make(synchronized=synchronized)

    def step(part: tf.Tensor, part_weights: tf.Tensor) -> list[tf.Tensor]:
        with tf.GradientTape() as tape:
            tape.watch(part)
            outputs = layer(part, training=True)
            loss = weighted_sum(outputs, part_weights)
        return [outputs, *tape.gradient(loss, [part, layer.gain.value, layer.bias.value])]

    return layer, run_on_replicas(step, np.split(x, 2), np.split(weights, 2))


def test_synchronized_replicas_equal_one_on_the_whole_batch() -> None:
    x, weights, single = images(4), images(4, seed=2), make()
    with tf.GradientTape() as tape:
        inputs = tf.constant(x)
        tape.watch(inputs)
        outputs = single(inputs, training=True)
        loss = weighted_sum(outputs, weights)
    expected = [outputs, *tape.gradient(loss, [inputs, single.gain.value, single.bias.value])]
    layer, (first, second) = on_two_replicas(x, weights, synchronized=True)
    for place in (0, 1):  # outputs, gradient of the inputs: each replica has its part
        together = np.concatenate([first[place], second[place]])
        np.testing.assert_allclose(together, expected[place].numpy(), rtol=1e-4, atol=1e-4)
    for place in (2, 3):  # gradients of gain and bias: replicas' are summed by the optimizer
        np.testing.assert_allclose(first[place] + second[place], expected[place].numpy(), rtol=1e-4, atol=1e-4)
    for ours, theirs in zip(layer.non_trainable_variables, single.non_trainable_variables, strict=True):
        for value in values_on_replicas(ours):
            np.testing.assert_allclose(value, theirs.numpy(), rtol=1e-5)


def test_other_replicas_use_their_own_part() -> None:
    x = images(4)
    x[2:] += 1.0
    layer, results = on_two_replicas(x, images(4, seed=2), synchronized=False)
    parts = np.split(x, 2)
    for part, (outputs, *_) in zip(parts, results, strict=True):
        np.testing.assert_allclose(outputs, make()(part, training=True).numpy(), rtol=1e-4, atol=1e-4)
    means, variances = zip(*map(moments, parts), strict=True)
    for variable, before, batch in (
        (layer.moving_mean, [0.1, -1.0, 4.0], np.mean(means, axis=0)),
        (layer.moving_variance, [0.3, 1.5, 6.0], np.mean(variances, axis=0)),
    ):
        first, second = values_on_replicas(variable)
        assert first.tobytes() == second.tobytes()
        np.testing.assert_allclose(first, moved(before, batch), rtol=1e-5)


@either_kernel
@pytest.mark.parametrize("precision", ["mixed_float16", "mixed_bfloat16"])
def test_statistics_are_float32_in_mixed_precision(synchronized: bool, precision: str) -> None:
    layer = make(synchronized=synchronized, dtype=precision)
    x = tf.cast(images(16), layer.compute_dtype)
    expected = make(synchronized=synchronized)(tf.cast(x, "float32"), training=True)
    outputs = layer(x, training=True)
    assert outputs.dtype == x.dtype
    assert {variable.dtype for variable in layer.variables} == {"float32"}
    # Half precision would be wrong in the third or fourth digit.
    mean, variance = moments(tf.cast(x, "float32").numpy())
    np.testing.assert_allclose(layer.moving_mean.numpy(), moved([0.1, -1.0, 4.0], mean), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(layer.moving_variance.numpy(), moved([0.3, 1.5, 6.0], variance), rtol=1e-5)
    np.testing.assert_allclose(tf.cast(outputs, "float32"), expected, atol=0.1)


@either_kernel
def test_a_mean_far_above_the_deviation(synchronized: bool) -> None:
    """As soon as the moving mean is near, the variance about it is exact: E[x^2] - E[x]^2 would be 8 % off."""
    x = np.random.default_rng(1).normal(100.0, 0.1, size=(16, 4, 4, CHANNELS)).astype(np.float32)
    layer = make(synchronized=synchronized)
    layer.moving_mean.assign([99.0, 100.0, 101.0])
    layer(x, training=True)
    np.testing.assert_allclose(layer.moving_variance.numpy(), moved([0.3, 1.5, 6.0], moments(x)[1]), rtol=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"momentum": 1.0}, "`momentum` must be at least 0 and below 1. Received: 1.0"),
        ({"epsilon": 0.0}, "`epsilon` must be above 0. Received: 0.0"),
    ],
)
def test_bad_arguments(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        BatchNormalization(**options)


def test_config_round_trip() -> None:
    layer = BatchNormalization(0.5, 1e-3, True, name="mine")
    copy = BatchNormalization.from_config(layer.get_config())
    assert copy.get_config() == layer.get_config()
    assert (copy.momentum, copy.epsilon, copy.synchronized) == (0.5, 1e-3, True)


def test_defaults_and_trained_weights() -> None:
    layer = BatchNormalization()
    layer.build((None, 4, 4, CHANNELS))
    assert (layer.momentum, layer.epsilon, layer.synchronized) == (0.9, 1e-5, False)
    assert [variable.name for variable in layer.trainable_variables] == ["gain", "bias"]
    assert [variable.name for variable in layer.non_trainable_variables] == ["moving_mean", "moving_variance"]
    starts = [float(variable.numpy()[0]) for variable in layer.variables]
    assert starts == [1.0, 0.0, 0.0, 1.0]
    assert layer.compute_output_shape((None, 4, 4, CHANNELS)) == (None, 4, 4, CHANNELS)
