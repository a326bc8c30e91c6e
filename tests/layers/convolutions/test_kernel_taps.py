"""Sums of kernel taps compared with NumPy, their transpose, and the time of their computation."""

import numpy as np
import tensorflow as tf

from sagan_tf.layers.convolutions.kernel_taps import combine_taps, compute_kernel_gradient, schedule_kernel_transform
from tests.graphs import find_predecessors

RANDOM = np.random.default_rng(1)
KERNEL, COMBINATIONS = RANDOM.normal(size=(3, 3, 5, 7)), RANDOM.normal(size=(4, 9))


def test_combined_taps() -> None:
    expected = np.einsum("nt,tio->nio", COMBINATIONS, KERNEL.reshape(9, 5, 7))
    actual = combine_taps(tf.constant(KERNEL), COMBINATIONS, tf.zeros([]))
    np.testing.assert_allclose(actual.numpy(), expected, rtol=1e-12, atol=1e-12)


def test_gradient_is_the_transpose() -> None:
    upstream = RANDOM.normal(size=(4, 5, 7))
    gradient = compute_kernel_gradient(tf.constant(upstream), COMBINATIONS).numpy()
    taps = combine_taps(tf.constant(KERNEL), COMBINATIONS, tf.zeros([])).numpy()
    assert gradient.shape == KERNEL.shape
    np.testing.assert_allclose(np.sum(taps * upstream), np.sum(KERNEL * gradient), rtol=1e-10)


def test_taps_wait_for_another_tensor() -> None:
    spec = [tf.TensorSpec([3, 3, 5, 7]), tf.TensorSpec([], name="after")]
    function = tf.function(lambda kernel, after: combine_taps(kernel, COMBINATIONS, after), input_signature=spec)
    graph = function.get_concrete_function().graph
    assert "after" in find_predecessors(graph.outputs[0].op)


def test_constant_kernel_is_transformed_while_the_graph_is_built() -> None:
    kernel = tf.constant(KERNEL, tf.float32)

    @tf.function(autograph=False)
    def function(after: tf.Tensor) -> tf.Tensor:
        with schedule_kernel_transform(kernel, after):
            doubled = 2.0 * kernel
        return after + doubled

    graph = function.get_concrete_function(tf.zeros([3, 3, 5, 7])).graph
    assert not [op for op in graph.get_operations() if op.type == "Mul"]
    np.testing.assert_allclose(function(tf.zeros([3, 3, 5, 7])).numpy(), 2.0 * KERNEL, rtol=1e-6)
