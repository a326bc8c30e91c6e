"""Minimal convolutions and their written-out gradients compared with the plain forms."""

from collections.abc import Mapping

import numpy as np
import pytest
import tensorflow as tf

from sagan_tf.layers.convolutions.minimal import DOWNSAMPLING_FORMS, SAME_SIZE_FORMS, UPSAMPLING_FORMS
from tests.graphs import find_predecessors
from tests.layers.convolutions.test_forms import (
    PLAIN,
    Form,
    assert_constant_kernel_is_transformed_once,
    assert_equals_plain,
    assert_near_in_half_precision,
    assert_runs_compiled,
    count_products,
    make_operands,
)
from tests.layers.gradients import assert_close, outputs_and_gradients

FORMS: dict[str, Mapping[str, Form]] = {
    "up": UPSAMPLING_FORMS,
    "down": DOWNSAMPLING_FORMS,
    "none": SAME_SIZE_FORMS,
}
CASES = [(resampling, tile) for resampling in FORMS for tile in (2, 4)]

every_minimal = pytest.mark.parametrize(("resampling", "tile"), CASES)


def get_form(resampling: str, tile: int) -> Form:
    return FORMS[resampling][f"minimal_{tile}"]


@every_minimal
@pytest.mark.parametrize("tiles", [(1, 1), (3, 3), (5, 2)], ids=str)
def test_minimal_forms_equal_plain_forms(resampling: str, tile: int, tiles: tuple[int, int]) -> None:
    """Features have the size at which the result has the given number of tiles along each axis."""
    side = tile // 2 if resampling == "up" else tile
    operands = make_operands((tiles[0] * side, tiles[1] * side))
    assert_equals_plain(get_form(resampling, tile), resampling, *operands, tolerance=2e-5)


@every_minimal
def test_many_channels(resampling: str, tile: int) -> None:
    """Rounding errors grow with the number of summed values, as the results that they are compared with do."""
    assert_equals_plain(get_form(resampling, tile), resampling, *make_operands((8, 8), 2, 256, 200), tolerance=2e-5)


@every_minimal
@pytest.mark.parametrize(("inputs", "outputs"), [(1, 6), (6, 1)])
def test_single_channels(resampling: str, tile: int, inputs: int, outputs: int) -> None:
    assert_equals_plain(get_form(resampling, tile), resampling, *make_operands((4, 8), 2, inputs, outputs))


@every_minimal
def test_float64(resampling: str, tile: int) -> None:
    """The identities are exact, so results agree to the last digits."""
    x, kernel = make_operands((8, 4))
    expected = outputs_and_gradients(PLAIN[resampling], x, kernel)
    assert_close(outputs_and_gradients(get_form(resampling, tile), x, kernel), expected, 1e-12)


@pytest.mark.parametrize("resampling", FORMS)
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision(resampling: str, dtype: str) -> None:
    """Only small tiles are used in half precision."""
    assert_near_in_half_precision(get_form(resampling, 2), resampling, dtype)


@pytest.mark.parametrize("resampling", FORMS)
def test_errors_in_half_precision_with_many_channels(resampling: str) -> None:
    x, kernel = (tf.cast(array, tf.bfloat16) for array in make_operands((8, 8), 2, 64, 64))
    actual = tf.cast(get_form(resampling, 2)(x, kernel), tf.float64).numpy()
    exact = PLAIN[resampling](tf.cast(x, tf.float64), tf.cast(kernel, tf.float64)).numpy()
    assert np.sqrt(np.mean((actual - exact) ** 2)) < 8e-3 * np.abs(exact).max()


@every_minimal
def test_constant_kernel_is_transformed_once(resampling: str, tile: int) -> None:
    assert_constant_kernel_is_transformed_once(get_form(resampling, tile), resampling)


@every_minimal
@pytest.mark.parametrize("jit_compile", [None, True])
def test_compiled_for_any_batch(resampling: str, tile: int, jit_compile: bool | None) -> None:
    assert_runs_compiled(get_form(resampling, tile), resampling, (8, 4), jit_compile)


@every_minimal
def test_gradient_of_one_operand(resampling: str, tile: int) -> None:
    """Differentiate by the features with a constant kernel, as in the update of the other network, or the reverse."""
    x, kernel = (tf.constant(array) for array in make_operands((4, 8)))
    for watched in (x, kernel):
        gradients = []
        for form in (get_form(resampling, tile), PLAIN[resampling]):
            with tf.GradientTape() as tape:
                tape.watch(watched)
                loss = tf.reduce_sum(tf.sin(form(x, kernel)))
            gradients.append(tape.gradient(loss, watched))
        assert_close(gradients[:1], gradients[1:], 1e-12)


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
def test_number_of_products(resampling: str, tile: int, locations: int, expected: float) -> None:
    assert count_products(get_form(resampling, tile), locations) == expected


@every_minimal
def test_backward_pass_computes_features_and_taps_again(resampling: str, tile: int) -> None:
    """Transformed features are up to 9 times as large as the features, and taps up to 4 times as large as kernels."""

    @tf.function(autograph=False)
    def gradients(x: tf.Tensor, kernel: tf.Tensor, upstream: tf.Tensor) -> list[tf.Tensor]:
        with tf.GradientTape() as tape:
            tape.watch([x, kernel])
            result = get_form(resampling, tile)(x, kernel)
        return tape.gradient(result, [x, kernel], upstream)

    x, kernel = (tf.constant(array, tf.float32) for array in make_operands((8, 8), 2))
    graph = gradients.get_concrete_function(x, kernel, get_form(resampling, tile)(x, kernel)).graph
    products = [op for op in graph.get_operations() if op.type in ("MatMul", "BatchMatMulV2")]

    def find(first: str, second: str) -> tf.Operation:
        """Return the product with this transposed operand; other products are with constants."""
        transposed = [op for op in products if op.get_attr(first if op.type == "MatMul" else second)]
        (found,) = (op for op in transposed if not {"Const"} & {source.op.type for source in op.inputs})
        return found

    assert {"x", "upstream"} <= find_predecessors(find("transpose_a", "adj_x").inputs[0].op)
    assert {"kernel", "upstream"} <= find_predecessors(find("transpose_b", "adj_y").inputs[1].op)


@every_minimal
def test_taps_wait_for_the_features(resampling: str, tile: int) -> None:
    """Otherwise a network would compute the taps of all kernels at the start of a step and keep them until used."""
    spec = [tf.TensorSpec([2, 8, 8, 5]), tf.TensorSpec([3, 3, 5, 7])]
    graph = tf.function(get_form(resampling, tile), input_signature=spec, autograph=False).get_concrete_function().graph
    products = [op for op in graph.get_operations() if op.type in ("MatMul", "BatchMatMulV2")]
    assert len(products) == 4  # for windows, taps, their products, and results
    assert all(graph.inputs[0].op.name in find_predecessors(op) for op in products)


@every_minimal
def test_second_derivatives(resampling: str, tile: int) -> None:
    """Differentiate a loss of the gradients of both operands."""
    x, kernel = map(tf.constant, make_operands((8, 4), 2))

    def second(form: Form) -> list[tf.Tensor]:
        with tf.GradientTape() as outer:
            outer.watch([x, kernel])
            with tf.GradientTape() as inner:
                inner.watch([x, kernel])
                loss = tf.reduce_sum(tf.sin(form(x, kernel)))
            first = inner.gradient(loss, [x, kernel])
            loss_of_first = tf.reduce_sum(first[0] ** 2) + tf.reduce_sum(first[1] ** 3)
        return outer.gradient(loss_of_first, [x, kernel])

    assert_close(second(get_form(resampling, tile)), second(PLAIN[resampling]), 1e-10)
