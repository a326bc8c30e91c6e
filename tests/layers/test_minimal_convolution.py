"""Convolutions with the fewest products, and their written-out gradients, against the plain forms."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from sagan_tf.layers.minimal_convolution import combined_taps, minimal_pooled, minimal_same, minimal_up
from tests.graphs import waits_for
from tests.layers.test_convolution_forms import (
    PLAIN,
    Form,
    assert_close,
    assert_equals_plain,
    assert_near_in_half_precision,
    assert_prepares_a_known_kernel,
    assert_runs_compiled,
    every_batch,
    every_size,
    operands,
    products,
    result_and_gradients,
)

MINIMAL: dict[str, Form] = {"up": minimal_up, "down": minimal_pooled, "none": minimal_same}

every_minimal = pytest.mark.parametrize("resampling", MINIMAL)


@every_minimal
@every_size
@every_batch
def test_they_equal_the_plain_ones(resampling: str, size: tuple[int, int], batch: int) -> None:
    assert_equals_plain(MINIMAL[resampling], resampling, *operands(size, batch))


@every_minimal
@pytest.mark.parametrize(("inputs", "outputs"), [(1, 1), (1, 6), (6, 1)])
def test_single_channels(resampling: str, inputs: int, outputs: int) -> None:
    assert_equals_plain(MINIMAL[resampling], resampling, *operands((4, 6), 2, inputs, outputs))


@pytest.mark.parametrize("size", [(1, 1), (1, 4), (3, 5)])
def test_up_takes_odd_sizes(size: tuple[int, int]) -> None:
    assert_equals_plain(minimal_up, "up", *operands(size))


@every_minimal
def test_float64(resampling: str) -> None:
    """To the last digits: the identities are exact, and so are the constants in them."""
    x, kernel = operands((6, 4))
    expected = result_and_gradients(PLAIN[resampling], x, kernel)
    assert_close(result_and_gradients(MINIMAL[resampling], x, kernel), expected, 1e-12)


@every_minimal
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision(resampling: str, dtype: str) -> None:
    assert_near_in_half_precision(MINIMAL[resampling], resampling, dtype)


@every_minimal
def test_they_prepare_a_known_kernel(resampling: str) -> None:
    assert_prepares_a_known_kernel(MINIMAL[resampling], resampling)


@every_minimal
def test_compiled_for_any_batch(resampling: str) -> None:
    assert_runs_compiled(MINIMAL[resampling], resampling, (1, 3))


@every_minimal
def test_by_xla(resampling: str) -> None:
    assert_runs_compiled(MINIMAL[resampling], resampling, (3,), jit_compile=True)


@every_minimal
def test_one_gradient_alone(resampling: str) -> None:
    """Of the features while the kernel is a constant, as in an update of the other network; and the reverse."""
    x, kernel = (tf.constant(array) for array in operands((4, 6)))
    for watched in (x, kernel):
        gradients = []
        for form in (MINIMAL[resampling], PLAIN[resampling]):
            with tf.GradientTape() as tape:
                tape.watch(watched)
                loss = tf.reduce_sum(tf.sin(form(x, kernel)))
            gradients.append(tape.gradient(loss, watched))
        assert_close(gradients[:1], gradients[1:], 1e-12)


@every_minimal
def test_one_image_is_computed_as_in_any_batch(resampling: str) -> None:
    x, kernel = (array.astype(np.float32) for array in operands((4, 4), 4))
    together = MINIMAL[resampling](tf.constant(x), tf.constant(kernel)).numpy()
    alone = MINIMAL[resampling](tf.constant(x[2:3]), tf.constant(kernel)).numpy()
    np.testing.assert_allclose(together[2:3], alone, rtol=0.0, atol=1e-5)


@pytest.mark.parametrize(
    ("resampling", "locations", "expected"), [("up", 8 * 4, 9), ("down", 4 * 2, 9), ("none", 4 * 2, 16)]
)
def test_products(resampling: str, locations: int, expected: int) -> None:
    assert products(MINIMAL[resampling], locations) == expected


@pytest.mark.parametrize("resampling", ["down", "none"])
def test_transformed_features_are_made_again_for_the_gradient(resampling: str) -> None:
    """They are 9/4 and 4 times as large as the features: what is multiplied in the backward pass waits for it."""
    x, kernel = (array.astype(np.float32) for array in operands((8, 8), 2))

    @tf.function(autograph=False)
    def gradient(x: tf.Tensor, kernel: tf.Tensor, upstream: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            tape.watch(kernel)
            result = MINIMAL[resampling](x, kernel)
        return tape.gradient(result, kernel, upstream)

    upstream = MINIMAL[resampling](tf.constant(x), tf.constant(kernel))
    graph = gradient.get_concrete_function(tf.constant(x), tf.constant(kernel), upstream).graph
    kinds = {"MatMul": "transpose_a", "BatchMatMulV2": "adj_x"}
    products = [one for one in graph.get_operations() if one.type in kinds and one.get_attr(kinds[one.type])]
    # Of features and upstream gradients; the other product is of the constant that `combined_taps` multiplies by.
    (of_taps,) = (one for one in products if one.inputs[0].op.type != "Const")
    assert {"x", "upstream"} <= waits_for(of_taps.inputs[0].op)


def test_combined_taps() -> None:
    _, kernel = operands((2, 2))
    combinations = np.random.default_rng(2).normal(size=(4, 9))
    expected = np.einsum("nt,tio->nio", combinations, kernel.reshape(9, 5, 7))
    ours = combined_taps(tf.constant(kernel), combinations)
    np.testing.assert_allclose(ours.numpy(), expected, rtol=1e-12, atol=1e-12)
