"""Batch normalization compared with NumPy, on one and on two replicas."""

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from sagan_tf.layers import BatchNormalization, average_moving_statistics
from tests.layers.replicas import run_on_replicas, two_replicas, values_on_replicas

CHANNELS = 3
EPSILON = 1e-2  # large enough for a wrong epsilon to be detected
MOMENTUM = 0.75
either_kernel = pytest.mark.parametrize("synchronized", [False, True])


def images(batch: int = 2, seed: int = 1) -> np.ndarray:
    """Return few values per channel: for 8 values the sample variance is a seventh above the population variance."""
    values = np.random.default_rng(seed).normal(size=(batch, 2, 2, CHANNELS))
    return (values * [0.5, 1.0, 3.0] + [0.0, -2.0, 5.0]).astype(np.float32)


def make_layer(**options: Any) -> BatchNormalization:
    layer = BatchNormalization(MOMENTUM, EPSILON, **options)
    layer.build((None, 2, 2, CHANNELS))
    layer.gain.assign([0.5, 1.0, 2.0])
    layer.bias.assign([-1.0, 0.0, 1.0])
    layer.moving_mean.assign([0.1, -1.0, 4.0])
    layer.moving_variance.assign([0.3, 1.5, 6.0])
    return layer


def standardize(x: np.ndarray, mean: Any, variance: Any) -> np.ndarray:
    return (x.astype(np.float64) - mean) / np.sqrt(np.asarray(variance) + EPSILON)


def moments(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and population variance of each channel."""
    return x.astype(np.float64).mean(axis=(0, 1, 2)), x.astype(np.float64).var(axis=(0, 1, 2))


def update_average(before: Any, batch: Any) -> np.ndarray:
    return MOMENTUM * np.array(before) + (1.0 - MOMENTUM) * np.array(batch)


@either_kernel
def test_training_uses_the_statistics_of_the_batch(synchronized: bool) -> None:
    x, layer = images(), make_layer(synchronized=synchronized)
    mean, variance = moments(x)
    expected = [0.5, 1.0, 2.0] * standardize(x, mean, variance) + [-1.0, 0.0, 1.0]
    np.testing.assert_allclose(layer(x, training=True).numpy(), expected, atol=1e-5)
    np.testing.assert_allclose(layer.moving_mean.numpy(), update_average([0.1, -1.0, 4.0], mean), rtol=1e-5)
    np.testing.assert_allclose(layer.moving_variance.numpy(), update_average([0.3, 1.5, 6.0], variance), rtol=1e-5)


@either_kernel
def test_inference_uses_the_moving_statistics_and_does_not_change_them(synchronized: bool) -> None:
    x, layer = images(), make_layer(synchronized=synchronized)
    expected = [0.5, 1.0, 2.0] * standardize(x, [0.1, -1.0, 4.0], [0.3, 1.5, 6.0]) + [-1.0, 0.0, 1.0]
    before = [variable.numpy().tobytes() for variable in layer.variables]
    np.testing.assert_allclose(layer(x, training=False).numpy(), expected, atol=1e-5)
    np.testing.assert_allclose(layer(x).numpy(), expected, atol=1e-5)
    assert [variable.numpy().tobytes() for variable in layer.variables] == before


def test_moving_statistics_do_not_change_in_a_stateless_scope() -> None:
    layer = make_layer()
    before = layer.moving_mean.numpy()
    with keras.StatelessScope():
        layer(images(), training=True)
    np.testing.assert_array_equal(layer.moving_mean.numpy(), before)


def normalize(x: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor) -> tf.Tensor:
    """Normalize with elementary operations; gamma and beta are [channels] or [batch, 1, 1, channels]."""
    mean = tf.reduce_mean(x, [0, 1, 2])
    variance = tf.reduce_mean(tf.square(x - mean), [0, 1, 2])
    return gamma * (x - mean) / tf.sqrt(variance + EPSILON) + beta


def weighted_sum(y: tf.Tensor, weights: Any) -> tf.Tensor:
    """Return a loss whose gradient differs at every location."""
    return tf.reduce_sum(weights * y + 0.1 * tf.square(y))


@either_kernel
@pytest.mark.parametrize("training", [False, True])
def test_constant_channels_give_beta(synchronized: bool, training: bool) -> None:
    layer = make_layer(synchronized=synchronized)
    layer.moving_mean.assign([300.0] * CHANNELS)
    outputs = layer(np.full([2, 2, 2, CHANNELS], 300.0, np.float32), training=training)
    np.testing.assert_allclose(outputs.numpy()[0, 0, 0], layer.bias.numpy(), atol=1e-3)
    assert np.all(np.isfinite(layer.moving_variance.numpy()))


def train_on_two_replicas(
    x: np.ndarray, weights: np.ndarray, synchronized: bool
) -> tuple[BatchNormalization, list[Any]]:
    """Train on two replicas with half of `x` each.

    Returns:
        The layer, and for each replica its outputs and the gradients of the inputs, gamma and beta.
    """
    with two_replicas().scope():
        layer = make_layer(synchronized=synchronized)

    def step(part: tf.Tensor, part_weights: tf.Tensor) -> list[tf.Tensor]:
        with tf.GradientTape() as tape:
            tape.watch(part)
            outputs = layer(part, training=True)
            loss = weighted_sum(outputs, part_weights)
        average_moving_statistics(layer)
        return [outputs, *tape.gradient(loss, [part, layer.gain.value, layer.bias.value])]

    return layer, run_on_replicas(step, np.split(x, 2), np.split(weights, 2))


def test_synchronized_replicas_equal_one_replica_with_the_whole_batch() -> None:
    x, weights, single = images(4), images(4, seed=2), make_layer()
    with tf.GradientTape() as tape:
        inputs = tf.constant(x)
        tape.watch(inputs)
        outputs = single(inputs, training=True)
        loss = weighted_sum(outputs, weights)
    expected = [outputs, *tape.gradient(loss, [inputs, single.gain.value, single.bias.value])]
    layer, (first, second) = train_on_two_replicas(x, weights, synchronized=True)
    for index in (0, 1):  # outputs and gradient of the inputs, of which each replica has its part
        combined = np.concatenate([first[index], second[index]])
        np.testing.assert_allclose(combined, expected[index].numpy(), rtol=1e-4, atol=1e-4)
    for index in (2, 3):  # gradients of gamma and beta, which the optimizer sums over replicas
        np.testing.assert_allclose(first[index] + second[index], expected[index].numpy(), rtol=1e-4, atol=1e-4)
    for variable, reference in zip(layer.non_trainable_variables, single.non_trainable_variables, strict=True):
        for value in values_on_replicas(variable):
            np.testing.assert_allclose(value, reference.numpy(), rtol=1e-5)


def test_unsynchronized_replicas_use_their_own_part() -> None:
    x = images(4)
    x[2:] += 1.0
    layer, results = train_on_two_replicas(x, images(4, seed=2), synchronized=False)
    parts = np.split(x, 2)
    for part, (outputs, *_) in zip(parts, results, strict=True):
        np.testing.assert_allclose(outputs, make_layer()(part, training=True).numpy(), rtol=1e-4, atol=1e-4)
    means, variances = zip(*map(moments, parts), strict=True)
    for variable, before, batch in (
        (layer.moving_mean, [0.1, -1.0, 4.0], np.mean(means, axis=0)),
        (layer.moving_variance, [0.3, 1.5, 6.0], np.mean(variances, axis=0)),
    ):
        first, second = values_on_replicas(variable)
        assert first.tobytes() == second.tobytes()
        np.testing.assert_allclose(first, update_average(before, batch), rtol=1e-5)


@pytest.mark.parametrize(("synchronized", "precision"), [(False, "mixed_float16"), (True, "mixed_bfloat16")])
def test_statistics_are_float32_in_mixed_precision(synchronized: bool, precision: str) -> None:
    layer = make_layer(synchronized=synchronized, dtype=precision)
    x = tf.cast(images(16), layer.compute_dtype)
    expected = make_layer(synchronized=synchronized)(tf.cast(x, "float32"), training=True)
    outputs = layer(x, training=True)
    assert outputs.dtype == x.dtype
    assert {variable.dtype for variable in layer.variables} == {"float32"}
    # In half precision, the third or fourth digit would be wrong.
    mean, variance = moments(tf.cast(x, "float32").numpy())
    np.testing.assert_allclose(layer.moving_mean.numpy(), update_average([0.1, -1.0, 4.0], mean), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(layer.moving_variance.numpy(), update_average([0.3, 1.5, 6.0], variance), rtol=1e-5)
    np.testing.assert_allclose(tf.cast(outputs, "float32"), expected, atol=0.1)


@either_kernel
def test_mean_far_above_the_deviation(synchronized: bool) -> None:
    """The variance about a nearby moving mean is exact; E[x^2] - E[x]^2 would have an error of 8 %."""
    x = np.random.default_rng(1).normal(100.0, 0.1, size=(16, 4, 4, CHANNELS)).astype(np.float32)
    layer = make_layer(synchronized=synchronized)
    layer.moving_mean.assign([99.0, 100.0, 101.0])
    layer(x, training=True)
    np.testing.assert_allclose(layer.moving_variance.numpy(), update_average([0.3, 1.5, 6.0], moments(x)[1]), rtol=1e-5)


@pytest.mark.parametrize(
    ("options", "message"), [({"momentum": 1.0}, "momentum.* 1.0"), ({"epsilon": 0.0}, "epsilon.* 0.0")]
)
def test_invalid_arguments(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        BatchNormalization(**options)
