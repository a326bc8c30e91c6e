"""Normalization by batch statistics and its written-out gradient compared with TensorFlow."""

import numpy as np
import pytest
import tensorflow as tf

from sagan_tf.layers.normalization import normalize_by_batch
from tests.graphs import find_predecessors
from tests.layers.gradients import assert_close, outputs_and_gradients
from tests.layers.test_batch_normalization import CHANNELS, EPSILON, images, moments, normalize


def normalize_outputs(x: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor) -> tf.Tensor:
    """Return the outputs of `normalize_by_batch`."""
    return normalize_by_batch(x, gamma, beta, EPSILON)[0]


def normalize_exactly(x: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor) -> tf.Tensor:
    """Compute `normalize` in float64."""
    gamma, beta = (tf.cast(values, tf.float64) for values in (gamma, beta))
    if gamma.shape.rank == 2:
        gamma, beta = gamma[:, None, None], beta[:, None, None]
    return normalize(tf.cast(x, tf.float64), gamma, beta)


@pytest.mark.parametrize("per_image", [False, True])
@pytest.mark.parametrize("shift", [0.0, 100.0])
@pytest.mark.parametrize("shape", [(1, 2, 2), (4, 1, 1), (3, 4, 6)], ids=str)
@pytest.mark.parametrize("compiled", [False, True])
def test_written_out_gradient(per_image: bool, shift: float, shape: tuple[int, int, int], compiled: bool) -> None:
    """Compare with the gradient that TensorFlow derives; gamma and beta are [channels] or [batch, channels]."""
    generator = np.random.default_rng(3)
    x = generator.normal(shift, 2.0, size=(*shape, CHANNELS))
    tables = generator.normal(size=(2, shape[0], CHANNELS) if per_image else (2, CHANNELS))
    sources = [tf.constant(values, tf.float32) for values in (x, *tables)]
    function = tf.function(normalize_outputs, autograph=False) if compiled else normalize_outputs
    actual, expected = (
        outputs_and_gradients(call, *sources, upstream_mean=0.0) for call in (function, normalize_exactly)
    )
    assert {tensor.dtype for tensor in actual} == {tf.float32}
    assert_close(actual, expected, 1e-4)


@pytest.mark.parametrize("per_image", [False, True])
def test_written_out_gradient_of_a_single_value(per_image: bool) -> None:
    shape = (1, CHANNELS) if per_image else (CHANNELS,)
    x, gamma, beta = tf.fill([1, 1, 1, CHANNELS], 3.0), tf.fill(shape, 2.0), tf.fill(shape, -1.0)
    outputs, x_gradient, gamma_gradient, beta_gradient = outputs_and_gradients(normalize_outputs, x, gamma, beta)
    np.testing.assert_array_equal(outputs.numpy(), -np.ones(x.shape))
    np.testing.assert_array_equal(x_gradient.numpy(), np.zeros(x.shape))
    np.testing.assert_array_equal(gamma_gradient.numpy(), np.zeros(shape))
    np.testing.assert_allclose(beta_gradient.numpy(), np.reshape(1.0 + 0.5 * np.sin(range(CHANNELS)), shape))


@pytest.mark.parametrize("per_image", [False, True])
@pytest.mark.parametrize(("dtype", "tolerance"), [("bfloat16", 2e-2), ("float16", 3e-3)])
def test_written_out_gradient_in_half_precision(per_image: bool, dtype: str, tolerance: float) -> None:
    generator = np.random.default_rng(3)
    x = tf.cast(generator.normal(size=(4, 8, 8, CHANNELS)), dtype)
    tables = generator.normal(size=(2, 4, CHANNELS) if per_image else (2, CHANNELS))
    sources = [x, *(tf.constant(values, tf.float32) for values in tables)]
    actual, expected = (outputs_and_gradients(call, *sources) for call in (normalize_outputs, normalize_exactly))
    assert [tensor.dtype for tensor in actual] == [x.dtype, x.dtype, tf.float32, tf.float32]
    assert_close(actual, expected, tolerance)


def test_no_gradient_flows_through_the_statistics() -> None:
    x, ones = tf.constant(images()), tf.ones([CHANNELS])
    with tf.GradientTape(persistent=True) as tape:
        tape.watch([x, ones])
        _, mean, variance = normalize_by_batch(x, ones, ones, EPSILON)
    np.testing.assert_allclose(mean.numpy(), moments(images())[0], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(variance.numpy(), moments(images())[1], rtol=1e-5)
    for statistic in (mean, variance):
        assert tape.gradient(statistic, [x, ones]) == [None, None]


def test_standardized_inputs_are_not_kept_for_the_gradient() -> None:
    """The backward pass reads no tensor of the size of the inputs except the inputs and the upstream gradient."""
    x = tf.constant(images(4))

    @tf.function(autograph=False)
    def both(x: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor, upstream: tf.Tensor) -> list[tf.Tensor]:
        with tf.GradientTape() as tape:
            tape.watch([x, gamma, beta])
            outputs = normalize_outputs(x, gamma, beta)
        return [outputs, *tape.gradient(outputs, [x, gamma, beta], upstream)]

    graph = both.get_concrete_function(x, tf.ones([CHANNELS]), tf.ones([CHANNELS]), x).graph
    operations = graph.get_operations()
    (forward,) = (op for op in operations if op.type == "FusedBatchNormV3")
    standardized_inputs = forward.outputs[0].name
    readers = [op for op in operations if standardized_inputs in {tensor.name for tensor in op.inputs}]
    assert len(readers) == 1  # the product with gamma
    backward = graph.outputs[1:]
    assert all(readers[0].name not in find_predecessors(tensor.op) for tensor in backward)
    # The centered inputs, which only the gradient needs, are not computed before the backward pass.
    (centered,) = (op for op in operations if op.type == "Sub" and op.outputs[0].shape == x.shape)
    assert graph.inputs[3].op.name in find_predecessors(centered)
