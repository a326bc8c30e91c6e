"""Batch normalisation against NumPy, on one and on two replicas."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from sagan_tf.layers import BatchNormalization, average_moving_statistics
from sagan_tf.layers.batch_normalization import _normalized_by_batch
from tests.graphs import waits_for
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


def gradients(function: Callable[..., Any], *sources: tf.Tensor, weights: np.ndarray) -> list[tf.Tensor]:
    """The outputs of `function(*sources)`, and the gradients of all sources for `weights` as upstream gradient."""
    with tf.GradientTape() as tape:
        tape.watch(sources)
        outputs = function(*sources)
    return [outputs, *tape.gradient(outputs, sources, tf.cast(weights, outputs.dtype))]


def assert_close(ours: list[tf.Tensor], expected: list[tf.Tensor], tolerance: float) -> None:
    """Differences are within `tolerance` of the largest value."""
    for one, other in zip(ours, expected, strict=True):
        one, other = (tf.cast(tensor, "float64").numpy() for tensor in (one, other))
        np.testing.assert_allclose(one, other, rtol=0.0, atol=tolerance * np.abs(other).max())


def by_batch(x: tf.Tensor, gain: tf.Tensor, bias: tf.Tensor) -> tf.Tensor:
    """What the layers call in training."""
    return _normalized_by_batch(x, gain, bias, EPSILON)[0]


def exactly(x: tf.Tensor, gain: tf.Tensor, bias: tf.Tensor) -> tf.Tensor:
    """`formula` in float64."""
    gain, bias = (tf.cast(values, tf.float64) for values in (gain, bias))
    if gain.shape.rank == 2:
        gain, bias = gain[:, None, None], bias[:, None, None]
    return formula(tf.cast(x, tf.float64), gain, bias)


@pytest.mark.parametrize("of_each_image", [False, True])
@pytest.mark.parametrize("shift", [0.0, 100.0])
@pytest.mark.parametrize("shape", [(1, 2, 2), (4, 1, 1), (3, 4, 6)], ids=str)
@pytest.mark.parametrize("compiled", [False, True])
def test_the_written_out_gradient(
    of_each_image: bool, shift: float, shape: tuple[int, int, int], compiled: bool
) -> None:
    """Against what TensorFlow derives from the formula; gain and bias [channels] or [batch, channels]."""
    generator = np.random.default_rng(3)
    x, weights = generator.normal(shift, 2.0, size=(*shape, CHANNELS)), generator.normal(size=(*shape, CHANNELS))
    tables = generator.normal(size=(2, shape[0], CHANNELS) if of_each_image else (2, CHANNELS))
    sources = [tf.constant(values, tf.float32) for values in (x, *tables)]
    function = tf.function(by_batch, autograph=False) if compiled else by_batch
    ours, expected = (gradients(one, *sources, weights=weights) for one in (function, exactly))
    assert {tensor.dtype for tensor in ours} == {tf.float32}
    assert_close(ours, expected, 1e-4)


@pytest.mark.parametrize("of_each_image", [False, True])
def test_the_written_out_gradient_of_a_single_value(of_each_image: bool) -> None:
    shape = (1, CHANNELS) if of_each_image else (CHANNELS,)
    x, gain, bias = tf.fill([1, 1, 1, CHANNELS], 3.0), tf.fill(shape, 2.0), tf.fill(shape, -1.0)
    weights = np.reshape(np.float32([1.0, 2.0, 3.0]), (1, 1, 1, CHANNELS))
    outputs, of_x, of_gain, of_bias = gradients(by_batch, x, gain, bias, weights=weights)
    np.testing.assert_array_equal(outputs.numpy(), -np.ones(x.shape))
    np.testing.assert_array_equal(of_x.numpy(), np.zeros(x.shape))
    np.testing.assert_array_equal(of_gain.numpy(), np.zeros(shape))
    np.testing.assert_array_equal(of_bias.numpy(), np.reshape(weights, shape))


@pytest.mark.parametrize("of_each_image", [False, True])
@pytest.mark.parametrize(("dtype", "tolerance"), [("bfloat16", 2e-2), ("float16", 3e-3)])
def test_the_written_out_gradient_in_half_precision(of_each_image: bool, dtype: str, tolerance: float) -> None:
    generator = np.random.default_rng(3)
    x, weights = (tf.cast(generator.normal(size=(4, 8, 8, CHANNELS)), dtype) for _ in range(2))
    tables = generator.normal(size=(2, 4, CHANNELS) if of_each_image else (2, CHANNELS))
    sources = [x, *(tf.constant(values, tf.float32) for values in tables)]
    ours, expected = (gradients(one, *sources, weights=weights) for one in (by_batch, exactly))
    assert [tensor.dtype for tensor in ours] == [x.dtype, x.dtype, tf.float32, tf.float32]
    assert_close(ours, expected, tolerance)


def test_no_gradient_flows_through_the_moving_statistics() -> None:
    x, ones = tf.constant(images()), tf.ones([CHANNELS])
    with tf.GradientTape(persistent=True) as tape:
        tape.watch([x, ones])
        _, mean, variance = _normalized_by_batch(x, ones, ones, EPSILON)
    np.testing.assert_allclose(mean.numpy(), moments(images())[0], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(variance.numpy(), moments(images())[1], rtol=1e-5)
    for statistic in (mean, variance):
        assert tape.gradient(statistic, [x, ones]) == [None, None]


def test_the_standardized_inputs_are_not_kept_for_the_gradient() -> None:
    """Of what is as large as the inputs, the backward pass reads the inputs and the upstream gradient alone."""
    x = tf.constant(images(4))

    @tf.function(autograph=False)
    def both(x: tf.Tensor, gain: tf.Tensor, bias: tf.Tensor, upstream: tf.Tensor) -> list[tf.Tensor]:
        return gradients(by_batch, x, gain, bias, weights=upstream)

    graph = both.get_concrete_function(x, tf.ones([CHANNELS]), tf.ones([CHANNELS]), x).graph
    (forward,) = (one for one in graph.get_operations() if one.type == "FusedBatchNormV3")
    standardized_inputs = forward.outputs[0].name
    readers = [one for one in graph.get_operations() if standardized_inputs in {tensor.name for tensor in one.inputs}]
    assert len(readers) == 1  # the product with the gain
    backward = graph.outputs[1:]
    assert all(readers[0].name not in waits_for(tensor.op) for tensor in backward)
    # What is made of the inputs for the gradient alone is not made before the backward pass.
    (centred,) = (one for one in graph.get_operations() if one.type == "Sub" and one.outputs[0].shape == x.shape)
    assert graph.inputs[3].op.name in waits_for(centred)


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
        average_moving_statistics(layer)
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
