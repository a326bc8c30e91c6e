"""The forms of a convolution: the plain ones against loops in NumPy, the strided ones against the plain ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from sagan_tf.layers.convolutions.forms import (
    downsample,
    plain_pooled,
    plain_same,
    plain_up,
    strided_pooled,
    strided_up,
    subpixel_up,
    upsample,
)
from tests.graphs import waits_for
from tools.benchmarks.arithmetic import graph_multiply_adds

Form = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]

PLAIN: dict[str, Form] = {"up": plain_up, "down": plain_pooled, "none": plain_same}
# Of fewer products: by name, the form and what it is a form of.
STRIDED: dict[str, tuple[Form, str]] = {
    "strided_up": (strided_up, "up"),
    "subpixel_up": (subpixel_up, "up"),
    "strided_pooled": (strided_pooled, "down"),
}
SIZES = [(2, 2), (4, 4), (6, 6), (16, 16), (4, 10), (6, 2)]

every_plain = pytest.mark.parametrize("resampling", PLAIN)
every_strided = pytest.mark.parametrize(("form", "resampling"), STRIDED.values(), ids=STRIDED)
every_size = pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
every_batch = pytest.mark.parametrize("batch", [1, 3])


def operands(size: tuple[int, int], batch: int = 3, inputs: int = 5, outputs: int = 7) -> tuple[np.ndarray, np.ndarray]:
    """Features and a kernel, normal, float64."""
    generator = np.random.default_rng(1)
    return generator.normal(size=(batch, *size, inputs)), generator.normal(size=(3, 3, inputs, outputs))


def result_and_gradients(form: Form, x: Any, kernel: Any) -> list[tf.Tensor]:
    """The result, and the gradients of the features and of the kernel for upstream gradients between 0.5 and 1.5."""
    x, kernel = tf.convert_to_tensor(x), tf.convert_to_tensor(kernel)
    with tf.GradientTape() as tape:
        tape.watch([x, kernel])
        result = form(x, kernel)
    places = tf.reshape(tf.range(tf.size(result), dtype=tf.float32), tf.shape(result))
    upstream = tf.cast(1.0 + 0.5 * tf.sin(places), result.dtype)
    return [result, *tape.gradient(result, [x, kernel], upstream)]


def assert_close(ours: list[tf.Tensor], expected: list[tf.Tensor], tolerance: float = 1e-4) -> None:
    """Differences are within `tolerance` of the largest value."""
    for one, other in zip(ours, expected, strict=True):
        one, other = tf.cast(one, tf.float64).numpy(), tf.cast(other, tf.float64).numpy()
        assert one.shape == other.shape
        np.testing.assert_allclose(one, other, rtol=0.0, atol=tolerance * np.abs(other).max())


def assert_equals_plain(
    form: Form, resampling: str, x: np.ndarray, kernel: np.ndarray, tolerance: float = 1e-4
) -> None:
    """In float32: the result and both gradients."""
    x, kernel = x.astype(np.float32), kernel.astype(np.float32)
    expected = result_and_gradients(PLAIN[resampling], x, kernel)
    assert_close(result_and_gradients(form, x, kernel), expected, tolerance)


def assert_runs_compiled(
    form: Form, resampling: str, batches: tuple[int, ...], size: tuple[int, int] = (6, 4), **options: Any
) -> None:
    """A tf.function that does not know the batch: the result and both gradients."""
    spec = tf.TensorSpec([None, *size, 5])
    function = tf.function(
        lambda x, kernel: result_and_gradients(form, x, kernel),
        input_signature=[spec, tf.TensorSpec([3, 3, 5, 7])],
        autograph=False,
        **options,
    )
    for batch in batches:
        x, kernel = (array.astype(np.float32) for array in operands(size, batch))
        assert_close(function(x, kernel), result_and_gradients(PLAIN[resampling], x, kernel))


def assert_near_in_half_precision(form: Form, resampling: str, dtype: str) -> None:
    """As near to the exact result and gradients as half precision lets them be."""
    x, kernel = (tf.cast(array, dtype) for array in operands((6, 4)))
    ours = result_and_gradients(form, x, kernel)
    exact = result_and_gradients(PLAIN[resampling], tf.cast(x, tf.float64), tf.cast(kernel, tf.float64))
    assert {tensor.dtype for tensor in ours} == {tf.as_dtype(dtype)}
    assert_close(ours, exact, 3e-2 if dtype == "bfloat16" else 4e-3)


def assert_prepares_a_known_kernel(form: Form, resampling: str) -> None:
    """With a kernel that the graph has as a constant, what is made of it is made once; the result is the same."""
    x, kernel = (tf.constant(array, tf.float32) for array in operands((8, 4)))
    compiled = tf.function(lambda x: form(x, kernel), input_signature=[tf.TensorSpec([None, 8, 4, 5])], autograph=False)
    operations = compiled.get_concrete_function().graph.get_operations()
    products = [one for one in operations if one.type in ("MatMul", "BatchMatMulV2")]
    assert all("x" in waits_for(one, data_only=True) for one in products)
    found = []
    for function in (compiled, lambda x: PLAIN[resampling](x, kernel)):
        with tf.GradientTape() as tape:
            tape.watch(x)
            result = function(x)
            loss = tf.reduce_sum(tf.sin(result))
        found.append([result, tape.gradient(loss, x)])
    assert_close(*found)


def convolved(x: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """The convolution, location by location; zeros around it."""
    padded = np.pad(x, [(0, 0), (1, 1), (1, 1), (0, 0)])
    y = np.empty((*x.shape[:3], kernel.shape[-1]))
    for row, column in np.ndindex(*x.shape[1:3]):
        window = padded[:, row : row + 3, column : column + 3]
        y[:, row, column] = np.einsum("bhwi,hwio->bo", window, kernel)
    return y


def repeated(x: np.ndarray) -> np.ndarray:
    batch, height, width, channels = x.shape
    y = np.empty((batch, 2 * height, 2 * width, channels))
    for row, column in np.ndindex(*y.shape[1:3]):
        y[:, row, column] = x[:, row // 2, column // 2]
    return y


def averaged(x: np.ndarray) -> np.ndarray:
    batch, height, width, channels = x.shape
    y = np.empty((batch, height // 2, width // 2, channels))
    for row, column in np.ndindex(*y.shape[1:3]):
        y[:, row, column] = x[:, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2].mean(axis=(1, 2))
    return y


ORACLES: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "up": lambda x, kernel: convolved(repeated(x), kernel),
    "down": lambda x, kernel: averaged(convolved(x, kernel)),
    "none": convolved,
}


def test_upsampling_repeats_each_value() -> None:
    x, _ = operands((4, 6))
    np.testing.assert_array_equal(upsample(tf.constant(x)).numpy(), repeated(x))


def test_downsampling_takes_means_of_squares() -> None:
    x, _ = operands((4, 6))
    np.testing.assert_allclose(downsample(tf.constant(x)).numpy(), averaged(x), rtol=1e-12, atol=1e-12)


@every_plain
@every_size
@every_batch
def test_plain_forms_are_what_their_names_say(resampling: str, size: tuple[int, int], batch: int) -> None:
    x, kernel = operands(size, batch)
    result = PLAIN[resampling](tf.constant(x), tf.constant(kernel))
    np.testing.assert_allclose(result.numpy(), ORACLES[resampling](x, kernel), rtol=1e-10, atol=1e-10)


@every_plain
def test_gradients_of_plain_forms(resampling: str) -> None:
    """A form is linear in each operand: its gradient at an entry is the loss at 1 there and 0 elsewhere."""
    x, kernel = operands((2, 4), batch=1, inputs=2, outputs=2)
    result, of_x, of_kernel = result_and_gradients(PLAIN[resampling], x, kernel)
    places = np.arange(result.numpy().size).reshape(result.shape)
    upstream = 1.0 + 0.5 * np.sin(places)
    for index in np.ndindex(*x.shape):
        one = np.zeros_like(x)
        one[index] = 1.0
        expected = np.sum(upstream * ORACLES[resampling](one, kernel))
        np.testing.assert_allclose(of_x[index].numpy(), expected, rtol=1e-5, atol=1e-5)
    for index in np.ndindex(*kernel.shape):
        one = np.zeros_like(kernel)
        one[index] = 1.0
        expected = np.sum(upstream * ORACLES[resampling](x, one))
        np.testing.assert_allclose(of_kernel[index].numpy(), expected, rtol=1e-5, atol=1e-5)


@every_plain
@pytest.mark.parametrize("jit_compile", [None, True])
def test_plain_forms_compiled_for_any_batch(resampling: str, jit_compile: bool | None) -> None:
    assert_runs_compiled(PLAIN[resampling], resampling, (3,) if jit_compile else (1, 3), jit_compile=jit_compile)


@every_plain
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_plain_forms_in_half_precision(resampling: str, dtype: str) -> None:
    assert_near_in_half_precision(PLAIN[resampling], resampling, dtype)


@every_strided
@every_size
@every_batch
def test_strided_forms_equal_the_plain_ones(form: Form, resampling: str, size: tuple[int, int], batch: int) -> None:
    assert_equals_plain(form, resampling, *operands(size, batch))


@pytest.mark.parametrize("form", [strided_up, subpixel_up])
@pytest.mark.parametrize("size", [(1, 1), (3, 5)])
def test_up_takes_odd_sizes(form: Form, size: tuple[int, int]) -> None:
    assert_equals_plain(form, "up", *operands(size))


@every_strided
def test_strided_forms_in_float64(form: Form, resampling: str) -> None:
    x, kernel = operands((6, 4))
    expected = result_and_gradients(PLAIN[resampling], x, kernel)
    assert_close(result_and_gradients(form, x, kernel), expected, 1e-12)


@every_strided
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_strided_forms_in_half_precision(form: Form, resampling: str, dtype: str) -> None:
    assert_near_in_half_precision(form, resampling, dtype)


@every_strided
def test_strided_forms_compiled_for_any_batch(form: Form, resampling: str) -> None:
    assert_runs_compiled(form, resampling, (1, 3))


@every_strided
def test_strided_forms_by_xla(form: Form, resampling: str) -> None:
    assert_runs_compiled(form, resampling, (3,), jit_compile=True)


@every_strided
def test_strided_forms_prepare_a_known_kernel(form: Form, resampling: str) -> None:
    assert_prepares_a_known_kernel(form, resampling)


def products(form: Form, locations: int) -> float:
    """How often an image's result takes a product with the kernel, for each of so many locations."""

    def counted(batch: int) -> int:
        x, kernel = map(tf.constant, operands((8, 4), batch))
        return graph_multiply_adds(tf.function(form, autograph=False).get_concrete_function(x, kernel).graph)

    # The difference: what is done to the kernel itself is done once for a batch.
    return (counted(2) - counted(1)) / (locations * 5 * 7)


@pytest.mark.parametrize(("resampling", "locations"), [("up", 8 * 4), ("down", 4 * 2), ("none", 4 * 2)])
def test_products_of_plain_forms(resampling: str, locations: int) -> None:
    assert products(PLAIN[resampling], locations) == 36


@pytest.mark.parametrize(("form", "locations"), [(strided_up, 8 * 4), (subpixel_up, 8 * 4), (strided_pooled, 4 * 2)])
def test_products_of_strided_forms(form: Form, locations: int) -> None:
    assert products(form, locations) == 16
