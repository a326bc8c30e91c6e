"""Forms of a convolution: plain forms compared with loops in NumPy, strided forms compared with plain forms."""

from collections.abc import Callable

import numpy as np
import pytest
import tensorflow as tf

from sagan_tf.layers.convolutions.forms import (
    convolve,
    convolve_and_downsample,
    convolve_and_downsample_strided,
    upsample_and_convolve,
    upsample_and_convolve_strided,
    upsample_and_convolve_subpixel,
)
from tests.graphs import find_predecessors
from tests.layers.gradients import assert_close, outputs_and_gradients
from tools.benchmarks.arithmetic import count_multiply_adds

Form = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]

PLAIN: dict[str, Form] = {"up": upsample_and_convolve, "down": convolve_and_downsample, "none": convolve}
# Forms with fewer multiplications, and their resampling, by name.
STRIDED: dict[str, tuple[Form, str]] = {
    "strided_up": (upsample_and_convolve_strided, "up"),
    "subpixel_up": (upsample_and_convolve_subpixel, "up"),
    "strided_pooled": (convolve_and_downsample_strided, "down"),
}
SIZES = [(2, 2), (6, 6), (4, 10)]

every_plain = pytest.mark.parametrize("resampling", PLAIN)
every_strided = pytest.mark.parametrize(("form", "resampling"), STRIDED.values(), ids=STRIDED)
every_form = pytest.mark.parametrize(
    ("form", "resampling"), [*((form, name) for name, form in PLAIN.items()), *STRIDED.values()], ids=[*PLAIN, *STRIDED]
)
every_size = pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")


def make_operands(
    size: tuple[int, int], batch: int = 3, inputs: int = 5, outputs: int = 7
) -> tuple[np.ndarray, np.ndarray]:
    """Return normal features and a normal kernel in float64."""
    generator = np.random.default_rng(1)
    return generator.normal(size=(batch, *size, inputs)), generator.normal(size=(3, 3, inputs, outputs))


def assert_equals_plain(
    form: Form, resampling: str, x: np.ndarray, kernel: np.ndarray, tolerance: float = 1e-4
) -> None:
    """Assert that the result and both gradients equal those of the plain form, in float32."""
    operands = [tf.constant(array, tf.float32) for array in (x, kernel)]
    expected = outputs_and_gradients(PLAIN[resampling], *operands)
    assert_close(outputs_and_gradients(form, *operands), expected, tolerance)


def assert_runs_compiled(
    form: Form, resampling: str, size: tuple[int, int] = (6, 4), jit_compile: bool | None = None
) -> None:
    """Assert the same in a tf.function with unknown batch size."""
    spec = tf.TensorSpec([None, *size, 5])
    function = tf.function(
        lambda x, kernel: outputs_and_gradients(form, x, kernel),
        input_signature=[spec, tf.TensorSpec([3, 3, 5, 7])],
        autograph=False,
        jit_compile=jit_compile,
    )
    for batch in (3,) if jit_compile else (1, 3):
        x, kernel = (tf.constant(array, tf.float32) for array in make_operands(size, batch))
        assert_close(function(x, kernel), outputs_and_gradients(PLAIN[resampling], x, kernel))


def assert_near_in_half_precision(form: Form, resampling: str, dtype: str) -> None:
    """Assert that the result and gradients are accurate within half precision."""
    x, kernel = (tf.cast(array, dtype) for array in make_operands((6, 4)))
    actual = outputs_and_gradients(form, x, kernel)
    exact = outputs_and_gradients(PLAIN[resampling], tf.cast(x, tf.float64), tf.cast(kernel, tf.float64))
    assert {tensor.dtype for tensor in actual} == {tf.as_dtype(dtype)}
    assert_close(actual, exact, 3e-2 if dtype == "bfloat16" else 4e-3)


def assert_constant_kernel_is_transformed_once(form: Form, resampling: str) -> None:
    """Assert that the transform of a constant kernel is computed once, and that the result is the same."""
    x, kernel = (tf.constant(array, tf.float32) for array in make_operands((8, 4)))
    compiled = tf.function(lambda x: form(x, kernel), input_signature=[tf.TensorSpec([None, 8, 4, 5])], autograph=False)
    operations = compiled.get_concrete_function().graph.get_operations()
    products = [op for op in operations if op.type in ("MatMul", "BatchMatMulV2")]
    assert all("x" in find_predecessors(op, data_only=True) for op in products)
    found = []
    for function in (compiled, lambda x: PLAIN[resampling](x, kernel)):
        with tf.GradientTape() as tape:
            tape.watch(x)
            result = function(x)
            loss = tf.reduce_sum(tf.sin(result))
        found.append([result, tape.gradient(loss, x)])
    assert_close(found[0], found[1])


def convolve_by_loops(x: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """Convolve location by location, with zero padding."""
    padded = np.pad(x, [(0, 0), (1, 1), (1, 1), (0, 0)])
    y = np.empty((*x.shape[:3], kernel.shape[-1]))
    for row, column in np.ndindex(*x.shape[1:3]):
        window = padded[:, row : row + 3, column : column + 3]
        y[:, row, column] = np.einsum("bhwi,hwio->bo", window, kernel)
    return y


def repeat_by_loops(x: np.ndarray) -> np.ndarray:
    batch, height, width, channels = x.shape
    y = np.empty((batch, 2 * height, 2 * width, channels))
    for row, column in np.ndindex(*y.shape[1:3]):
        y[:, row, column] = x[:, row // 2, column // 2]
    return y


def average_by_loops(x: np.ndarray) -> np.ndarray:
    batch, height, width, channels = x.shape
    y = np.empty((batch, height // 2, width // 2, channels))
    for row, column in np.ndindex(*y.shape[1:3]):
        y[:, row, column] = x[:, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2].mean(axis=(1, 2))
    return y


ORACLES: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "up": lambda x, kernel: convolve_by_loops(repeat_by_loops(x), kernel),
    "down": lambda x, kernel: average_by_loops(convolve_by_loops(x, kernel)),
    "none": convolve_by_loops,
}


@every_plain
@every_size
def test_plain_forms_equal_loops(resampling: str, size: tuple[int, int]) -> None:
    x, kernel = make_operands(size)
    result = PLAIN[resampling](tf.constant(x), tf.constant(kernel))
    np.testing.assert_allclose(result.numpy(), ORACLES[resampling](x, kernel), rtol=1e-10, atol=1e-10)


@every_plain
def test_gradients_of_plain_forms(resampling: str) -> None:
    """A form is linear in each operand, so the gradient of an entry is the loss of the corresponding unit operand."""
    x, kernel = make_operands((2, 4), batch=1, inputs=2, outputs=2)
    result, x_gradient, kernel_gradient = outputs_and_gradients(PLAIN[resampling], x, kernel)
    indices = np.arange(result.numpy().size).reshape(result.shape)
    upstream = 1.0 + 0.5 * np.sin(indices)
    for place, gradient in enumerate((x_gradient, kernel_gradient)):
        for index in np.ndindex(*gradient.shape):
            operands = [x, kernel]
            operands[place] = np.zeros(gradient.shape)
            operands[place][index] = 1.0
            expected = float(np.sum(upstream * ORACLES[resampling](*operands)))
            np.testing.assert_allclose(gradient[index].numpy(), expected, rtol=1e-5, atol=1e-5)


@every_strided
@every_size
def test_strided_forms_equal_plain_forms(form: Form, resampling: str, size: tuple[int, int]) -> None:
    x, kernel = make_operands(size)
    expected = outputs_and_gradients(PLAIN[resampling], x, kernel)
    assert_close(outputs_and_gradients(form, x, kernel), expected, 1e-12)


@pytest.mark.parametrize("form", [upsample_and_convolve_strided, upsample_and_convolve_subpixel])
@pytest.mark.parametrize("size", [(1, 1), (3, 5)])
def test_up_supports_odd_sizes(form: Form, size: tuple[int, int]) -> None:
    assert_equals_plain(form, "up", *make_operands(size))


@every_strided
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_strided_forms_in_half_precision(form: Form, resampling: str, dtype: str) -> None:
    assert_near_in_half_precision(form, resampling, dtype)


@every_form
@pytest.mark.parametrize("jit_compile", [None, True])
def test_compiled_for_any_batch(form: Form, resampling: str, jit_compile: bool | None) -> None:
    assert_runs_compiled(form, resampling, jit_compile=jit_compile)


@every_strided
def test_strided_forms_transform_a_constant_kernel_once(form: Form, resampling: str) -> None:
    assert_constant_kernel_is_transformed_once(form, resampling)


def count_products(form: Form, locations: int) -> float:
    """Return the number of multiplications with the kernel per image and location."""

    def count(batch: int) -> int:
        x, kernel = map(tf.constant, make_operands((8, 4), batch))
        return count_multiply_adds(tf.function(form, autograph=False).get_concrete_function(x, kernel).graph)

    # The difference excludes the transform of the kernel, which is computed once per batch.
    return (count(2) - count(1)) / (locations * 5 * 7)


@pytest.mark.parametrize(
    ("form", "locations", "expected"),
    [
        (upsample_and_convolve, 8 * 4, 36),
        (convolve_and_downsample, 4 * 2, 36),
        (upsample_and_convolve_strided, 8 * 4, 16),
        (upsample_and_convolve_subpixel, 8 * 4, 16),
        (convolve_and_downsample_strided, 4 * 2, 16),
    ],
)
def test_number_of_products(form: Form, locations: int, expected: int) -> None:
    assert count_products(form, locations) == expected
