"""Sums of taps against NumPy, their transpose, and when they are made."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from sagan_tf.layers.convolutions.kernel_taps import combined_taps, gradient_of_kernel, prepared
from tests.graphs import waits_for

RANDOM = np.random.default_rng(1)
KERNEL, COMBINATIONS = RANDOM.normal(size=(3, 3, 5, 7)), RANDOM.normal(size=(4, 9))


def test_combined_taps() -> None:
    expected = np.einsum("nt,tio->nio", COMBINATIONS, KERNEL.reshape(9, 5, 7))
    ours = combined_taps(tf.constant(KERNEL), COMBINATIONS, tf.zeros([]))
    np.testing.assert_allclose(ours.numpy(), expected, rtol=1e-12, atol=1e-12)


def test_the_gradient_is_the_transpose() -> None:
    upstream = RANDOM.normal(size=(4, 5, 7))
    ours = gradient_of_kernel(tf.constant(upstream), COMBINATIONS).numpy()
    taps = combined_taps(tf.constant(KERNEL), COMBINATIONS, tf.zeros([])).numpy()
    assert ours.shape == KERNEL.shape
    np.testing.assert_allclose(np.sum(taps * upstream), np.sum(KERNEL * ours), rtol=1e-10)


def test_they_wait_for_what_they_are_made_after() -> None:
    spec = [tf.TensorSpec([3, 3, 5, 7]), tf.TensorSpec([], name="after")]
    function = tf.function(lambda kernel, after: combined_taps(kernel, COMBINATIONS, after), input_signature=spec)
    graph = function.get_concrete_function().graph
    assert "after" in waits_for(graph.outputs[0].op)


def test_of_a_known_kernel_they_are_made_as_the_graph_is_built() -> None:
    kernel = tf.constant(KERNEL, tf.float32)

    @tf.function(autograph=False)
    def function(after: tf.Tensor) -> tf.Tensor:
        with prepared(kernel, after):
            made = 2.0 * kernel
        return after + made

    graph = function.get_concrete_function(tf.zeros([3, 3, 5, 7])).graph
    assert not [one for one in graph.get_operations() if one.type == "Mul"]
    np.testing.assert_allclose(function(tf.zeros([3, 3, 5, 7])).numpy(), 2.0 * KERNEL, rtol=1e-6)
