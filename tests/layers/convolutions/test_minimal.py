"""Convolutions with the fewest products, and their written-out gradients, against the plain forms."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from sagan_tf.layers.convolutions.minimal import POOLED, SAME, UP
from tests.graphs import waits_for
from tests.layers.convolutions.test_forms import (
    PLAIN,
    Form,
    assert_close,
    assert_equals_plain,
    assert_near_in_half_precision,
    assert_prepares_a_known_kernel,
    assert_runs_compiled,
    every_batch,
    operands,
    products,
    result_and_gradients,
)

FORMS: dict[str, dict[str, Form]] = {"up": UP, "down": POOLED, "none": SAME}
CASES = [(resampling, tile) for resampling in FORMS for tile in (2, 4)]

every_minimal = pytest.mark.parametrize(("resampling", "tile"), CASES)


def minimal(resampling: str, tile: int) -> Form:
    return FORMS[resampling][f"minimal_{tile}"]


def fitting(size: tuple[int, int], resampling: str, tile: int) -> tuple[int, int]:
    """A size of features that gives as many tiles of results along each axis as `size` says."""
    side = tile // 2 if resampling == "up" else tile
    return size[0] * side, size[1] * side


@every_minimal
@pytest.mark.parametrize("tiles", [(1, 1), (2, 2), (3, 3), (1, 4), (5, 2)], ids=str)
@every_batch
def test_they_equal_the_plain_ones(resampling: str, tile: int, tiles: tuple[int, int], batch: int) -> None:
    size = fitting(tiles, resampling, tile)
    assert_equals_plain(minimal(resampling, tile), resampling, *operands(size, batch), tolerance=2e-5)


@every_minimal
def test_many_channels(resampling: str, tile: int) -> None:
    """Rounding errors grow with the number of values that are summed, and so does what they are compared with."""
    assert_equals_plain(minimal(resampling, tile), resampling, *operands((8, 8), 2, 256, 200), tolerance=2e-5)


@every_minimal
@pytest.mark.parametrize(("inputs", "outputs"), [(1, 1), (1, 6), (6, 1)])
def test_single_channels(resampling: str, tile: int, inputs: int, outputs: int) -> None:
    assert_equals_plain(minimal(resampling, tile), resampling, *operands((4, 8), 2, inputs, outputs))


@every_minimal
def test_float64(resampling: str, tile: int) -> None:
    """To the last digits: the identities are exact."""
    x, kernel = operands((8, 4))
    expected = result_and_gradients(PLAIN[resampling], x, kernel)
    assert_close(result_and_gradients(minimal(resampling, tile), x, kernel), expected, 1e-12)


@pytest.mark.parametrize("resampling", FORMS)
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision(resampling: str, dtype: str) -> None:
    """Of the small tiles: the large ones aren't for it."""
    assert_near_in_half_precision(minimal(resampling, 2), resampling, dtype)


@pytest.mark.parametrize("resampling", FORMS)
def test_errors_in_half_precision_with_many_channels(resampling: str) -> None:
    x, kernel = (tf.cast(array, tf.bfloat16) for array in operands((8, 8), 2, 64, 64))
    ours = tf.cast(minimal(resampling, 2)(x, kernel), tf.float64).numpy()
    exact = PLAIN[resampling](tf.cast(x, tf.float64), tf.cast(kernel, tf.float64)).numpy()
    assert np.sqrt(np.mean((ours - exact) ** 2)) < 8e-3 * np.abs(exact).max()


@every_minimal
def test_they_prepare_a_known_kernel(resampling: str, tile: int) -> None:
    assert_prepares_a_known_kernel(minimal(resampling, tile), resampling)


@every_minimal
def test_compiled_for_any_batch(resampling: str, tile: int) -> None:
    assert_runs_compiled(minimal(resampling, tile), resampling, (1, 3), (8, 4))


@every_minimal
def test_by_xla(resampling: str, tile: int) -> None:
    assert_runs_compiled(minimal(resampling, tile), resampling, (3,), (8, 4), jit_compile=True)


@every_minimal
def test_one_gradient_alone(resampling: str, tile: int) -> None:
    """Of the features while the kernel is a constant, as in an update of the other network; and the reverse."""
    x, kernel = (tf.constant(array) for array in operands((4, 8)))
    for watched in (x, kernel):
        gradients = []
        for form in (minimal(resampling, tile), PLAIN[resampling]):
            with tf.GradientTape() as tape:
                tape.watch(watched)
                loss = tf.reduce_sum(tf.sin(form(x, kernel)))
            gradients.append(tape.gradient(loss, watched))
        assert_close(gradients[:1], gradients[1:], 1e-12)


@every_minimal
def test_one_image_is_computed_as_in_any_batch(resampling: str, tile: int) -> None:
    x, kernel = (array.astype(np.float32) for array in operands((4, 4), 4))
    together = minimal(resampling, tile)(tf.constant(x), tf.constant(kernel)).numpy()
    alone = minimal(resampling, tile)(tf.constant(x[2:3]), tf.constant(kernel)).numpy()
    np.testing.assert_allclose(together[2:3], alone, rtol=0.0, atol=1e-5)


@pytest.mark.parametrize(
    ("resampling", "tile", "locations", "expected"),
    [
        ("up", 2, 8 * 4, 9),
        ("up", 4, 8 * 4, 6.25),
        ("down", 2, 4 * 2, 9),
        ("down", 4, 4 * 2, 6.25),
        ("none", 2, 4 * 2, 16),
        ("none", 4, 4 * 2, 9),
    ],
)
def test_products(resampling: str, tile: int, locations: int, expected: float) -> None:
    assert products(minimal(resampling, tile), locations) == expected


@every_minimal
def test_transformed_features_are_made_again_for_the_gradient(resampling: str, tile: int) -> None:
    """They are up to 9 times as large as the features: what is multiplied in the backward pass waits for it."""
    x, kernel = (array.astype(np.float32) for array in operands((8, 8), 2))

    @tf.function(autograph=False)
    def gradient(x: tf.Tensor, kernel: tf.Tensor, upstream: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            tape.watch(kernel)
            result = minimal(resampling, tile)(x, kernel)
        return tape.gradient(result, kernel, upstream)

    upstream = minimal(resampling, tile)(tf.constant(x), tf.constant(kernel))
    graph = gradient.get_concrete_function(tf.constant(x), tf.constant(kernel), upstream).graph
    kinds = {"MatMul": "transpose_a", "BatchMatMulV2": "adj_x"}
    products = [one for one in graph.get_operations() if one.type in kinds and one.get_attr(kinds[one.type])]
    # Of features and upstream gradients; other products are with constants.
    (of_taps,) = (one for one in products if not {"Const"} & {source.op.type for source in one.inputs})
    assert {"x", "upstream"} <= waits_for(of_taps.inputs[0].op)


@every_minimal
def test_taps_wait_for_the_features(resampling: str, tile: int) -> None:
    """Or a network would make those of all its kernels at the start of a step, and keep them until they are used."""
    spec = [tf.TensorSpec([2, 8, 8, 5]), tf.TensorSpec([3, 3, 5, 7])]
    graph = tf.function(minimal(resampling, tile), input_signature=spec, autograph=False).get_concrete_function().graph
    products = [one for one in graph.get_operations() if one.type in ("MatMul", "BatchMatMulV2")]
    assert len(products) == 4  # of windows, taps, their products, and results
    features = graph.inputs[0].op.name
    assert all(features in waits_for(one) for one in products)


@every_minimal
def test_taps_of_the_backward_pass_are_made_in_it(resampling: str, tile: int) -> None:
    """Kept from the forward pass, they would be up to four times as large as all kernels."""

    @tf.function(autograph=False)
    def gradients(x: tf.Tensor, kernel: tf.Tensor, upstream: tf.Tensor) -> list[tf.Tensor]:
        with tf.GradientTape() as tape:
            tape.watch([x, kernel])
            result = minimal(resampling, tile)(x, kernel)
        return tape.gradient(result, [x, kernel], upstream)

    x, kernel = (tf.constant(array, tf.float32) for array in operands((8, 8), 2))
    graph = gradients.get_concrete_function(x, kernel, minimal(resampling, tile)(x, kernel)).graph
    transposed = {"MatMul": "transpose_b", "BatchMatMulV2": "adj_y"}
    with_taps = [one for one in graph.get_operations() if one.type in transposed and one.get_attr(transposed[one.type])]
    (of_x,) = with_taps
    assert {"kernel", "upstream"} <= waits_for(of_x.inputs[1].op)


@every_minimal
def test_second_derivatives(resampling: str, tile: int) -> None:
    """Of a loss in the gradients of both operands."""
    x, kernel = map(tf.constant, operands((8, 4), 2))

    def second(form: Form) -> list[tf.Tensor]:
        with tf.GradientTape() as outer:
            outer.watch([x, kernel])
            with tf.GradientTape() as inner:
                inner.watch([x, kernel])
                loss = tf.reduce_sum(tf.sin(form(x, kernel)))
            first = inner.gradient(loss, [x, kernel])
            loss_of_first = tf.reduce_sum(first[0] ** 2) + tf.reduce_sum(first[1] ** 3)
        return outer.gradient(loss_of_first, [x, kernel])

    assert_close(second(minimal(resampling, tile)), second(PLAIN[resampling]), 1e-10)
