"""Dense attention and its gradients compared with those that TensorFlow derives, in float64."""

import pathlib
from collections.abc import Callable, Sequence

import numpy as np
import pytest
import tensorflow as tf

from sagan_tf.layers import accelerators
from sagan_tf.layers import dense_attention as module
from sagan_tf.layers.dense_attention import compute_attention_map, dense_attention, has_rounded_products
from tests.graphs import find_predecessors

pytestmark = pytest.mark.usefixtures("on_a_cpu")

Tensors = Sequence[tf.Tensor]
Attention = Callable[[tf.Tensor, tf.Tensor, tf.Tensor], tuple[tf.Tensor, tf.Tensor]]

SPECS = [tf.TensorSpec([None, *shape], tf.float64) for shape in ((7, 3), (5, 3), (5, 4))]
COMPILED = {
    "eager": lambda function: function,
    "traced": lambda function: tf.function(function, autograph=False),
    "xla": lambda function: tf.function(function, autograph=False, jit_compile=True),
}


def attend_plainly(query: tf.Tensor, key: tf.Tensor, value: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Compute attention with operations that TensorFlow differentiates."""
    attention = compute_attention_map(query, key)
    return tf.matmul(tf.cast(attention, value.dtype), value), attention


def make_operands(dtype: str = "float64", sizes: Sequence[int] = (2, 7, 5, 3, 4)) -> list[tf.Tensor]:
    """Return query, key and value."""
    batch, queries, keys, narrow, wide = sizes
    random = np.random.default_rng(1)
    shapes = (batch, queries, narrow), (batch, keys, narrow), (batch, keys, wide)
    return [tf.cast(0.5 * random.normal(size=shape), dtype) for shape in shapes]


def compute_loss(results: Tensors) -> tf.Tensor:
    """Return a loss of the outputs and the map whose slope differs at every location."""
    outputs, attention = (tf.cast(tensor, tf.float64) for tensor in results)
    slopes = tf.reshape(tf.cast(tf.range(tf.size(outputs)) % 7 - 2, tf.float64), tf.shape(outputs))
    return tf.reduce_sum(tf.sin(outputs * slopes)) + tf.reduce_sum(attention**3)


def gradients(attend: Attention, inputs: Tensors) -> list[tf.Tensor]:
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        loss = compute_loss(attend(*inputs))
    return tape.gradient(loss, inputs)


def second_derivatives(attend: Attention, inputs: Tensors) -> list[tf.Tensor]:
    """Differentiate the squared norm of the gradients, as R1 and R2 do."""
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        norm = tf.add_n([tf.reduce_sum(tf.cast(tensor, tf.float64) ** 2) for tensor in gradients(attend, inputs)])
    return tape.gradient(norm, inputs)


def differentiate(attend: Attention, *tensors: tf.Tensor) -> list[tf.Tensor]:
    """Return the gradients of the operands, given the operands and the gradient of the outputs."""
    *inputs, upstream = tensors
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        outputs = attend(*inputs)[0]
    return tape.gradient(outputs, inputs, output_gradients=upstream)


def relative_errors(found: Tensors, exact: Tensors) -> np.ndarray:
    """Return the norm of the error of each tensor, relative to its norm."""
    pairs = [[tf.cast(tensor, tf.float64) for tensor in pair] for pair in zip(found, exact, strict=True)]
    return np.array([float(tf.norm(value - reference) / tf.norm(reference)) for value, reference in pairs])


@pytest.fixture
def written_out_gradients(monkeypatch: pytest.MonkeyPatch) -> None:
    """Use the gradients for rounded products in float64, where rounding cannot hide a wrong term."""
    monkeypatch.setattr(module, "has_rounded_products", lambda dtype: True)


@pytest.mark.usefixtures("written_out_gradients")
@pytest.mark.parametrize("compiled", COMPILED.values(), ids=COMPILED)
@pytest.mark.parametrize("derivatives", [gradients, second_derivatives])
def test_derivatives_equal_those_of_tensorflow(derivatives: Callable, compiled: Callable) -> None:
    inputs = make_operands()
    found = compiled(lambda *inputs: derivatives(dense_attention, inputs))(*inputs)
    np.testing.assert_array_less(relative_errors(found, derivatives(attend_plainly, inputs)), 1e-12)


@pytest.mark.usefixtures("written_out_gradients")
def test_second_derivatives_equal_finite_differences() -> None:
    inputs, step = make_operands(), 1e-5
    directions = [tf.cos(3.0 * tensor) for tensor in inputs]

    def norm(distance: float) -> float:
        moved = [tensor + distance * direction for tensor, direction in zip(inputs, directions, strict=True)]
        return sum(float(tf.reduce_sum(gradient**2)) for gradient in gradients(attend_plainly, moved))

    found = second_derivatives(dense_attention, inputs)
    pairs = zip(found, directions, strict=True)
    slope = sum(float(tf.reduce_sum(gradient * direction)) for gradient, direction in pairs)
    assert slope == pytest.approx((norm(step) - norm(-step)) / (2.0 * step), rel=1e-7)


def make_trained_tensors(dtype: str, mean: float) -> list[tf.Tensor]:
    """Return query, key, value and the gradient of the outputs.

    With a `mean` of 1 they are as far from 0, relative to their deviations, as in TF-GAN's discriminator, and keys are
    even farther.
    """
    random = np.random.default_rng(1)

    def draw(locations: int, channels: int, center: float, deviation: float) -> tf.Tensor:
        signs = random.choice([-1.0, 1.0], channels)
        array = mean * center * signs + deviation * random.normal(size=(2, locations, channels))
        return tf.cast(array, dtype)

    return [draw(256, 2, 6.0, 1.0), draw(128, 2, 8.0, 0.1), draw(128, 8, 17.0, 1.0), draw(256, 8, 1.6, 1.0)]


def assert_as_accurate_as_tensorflow(tensors: Tensors, factor: float) -> None:
    exact = differentiate(attend_plainly, *(tf.cast(tensor, tf.float64) for tensor in tensors))
    found, expected = (
        relative_errors(differentiate(attend, *tensors), exact) for attend in (dense_attention, attend_plainly)
    )
    np.testing.assert_array_less(found, factor * expected)


@pytest.mark.parametrize("mean", [0.0, 1.0])
@pytest.mark.parametrize(("accelerator", "dtype"), [(True, "float32"), (False, "bfloat16"), (False, "float16")])
def test_gradients_are_as_accurate_as_those_of_tensorflow(
    accelerator: bool, dtype: str, mean: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a mean, an error shared by all keys of a query would exceed the gradients, except in float32."""
    monkeypatch.setattr(accelerators, "has_accelerator", lambda: accelerator)
    tensors = make_trained_tensors(dtype, mean)
    assert [gradient.dtype for gradient in differentiate(dense_attention, *tensors)] == [dtype] * 3
    assert_as_accurate_as_tensorflow(tensors, 2.0)


def test_gradients_with_tensor_float_32(monkeypatch: pytest.MonkeyPatch) -> None:
    """TensorFloat-32 is emulated: the operands of products are rounded to 10 bits."""
    query, key, value, upstream = tensors = make_trained_tensors("float32", 1.0)
    exact = differentiate(attend_plainly, *(tf.cast(tensor, tf.float64) for tensor in tensors))
    # The forward pass is not rounded, because errors of its logits would not depend on the gradient.
    weights = compute_attention_map(query, key)
    outputs = tf.matmul(weights, value)
    product = tf.matmul

    def round_to_tf32(tensor: tf.Tensor) -> tf.Tensor:
        bits = tf.bitcast(tensor, tf.int32)
        even = tf.bitwise.bitwise_and(tf.bitwise.right_shift(bits, 13), 1)
        return tf.bitcast(tf.bitwise.bitwise_and(bits + 0x0FFF + even, ~0x1FFF), tf.float32)

    monkeypatch.setattr(accelerators, "has_accelerator", lambda: True)
    monkeypatch.setattr(tf, "matmul", lambda a, b, **options: product(round_to_tf32(a), round_to_tf32(b), **options))
    found = module.compute_attention_gradients(query, key, value, weights, outputs, upstream)
    np.testing.assert_array_less(relative_errors(found, exact), 1e-2)


def test_float32_on_a_cpu_is_differentiated_by_tensorflow() -> None:
    tensors = make_trained_tensors("float32", 1.0)
    expected = differentiate(attend_plainly, *tensors)
    for gradient, reference in zip(differentiate(dense_attention, *tensors), expected, strict=True):
        np.testing.assert_array_equal(gradient, reference)


def test_small_gradients_in_float16() -> None:
    """Gradients of logits are smaller than those of queries and keys, and underflow in float16."""
    *inputs, upstream = (tf.cast(tensor, tf.float64) for tensor in make_trained_tensors("float16", 0.0))
    assert_as_accurate_as_tensorflow([tf.cast(tensor, tf.float16) for tensor in (*inputs, 2e-5 * upstream)], 1.2)


def test_large_features_do_not_overflow_float16() -> None:
    query, key, value = (1000.0 * tensor for tensor in make_operands("float16"))
    np.testing.assert_allclose(tf.reduce_sum(dense_attention(query, key, value)[1], -1), 1.0, rtol=1e-5)


# Bytes per element of the map that operations other than matrix products read and write. Softmax reads and writes
# float32 (8), half precision needs a cast (6), and the gradient multiplies two maps (12 or 6). TensorFlow's gradient of
# softmax needs 36, and 6 more for a cast in half precision.
@pytest.mark.parametrize(
    ("accelerator", "dtype", "expected"),
    [(True, "float32", 8 + 12), (True, "bfloat16", 8 + 6 + 6), (False, "float32", 8 + 36)],
)
def test_passes_over_the_map(accelerator: bool, dtype: str, expected: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accelerators, "has_accelerator", lambda: accelerator)
    specs = [tf.TensorSpec([2, size, 3], dtype) for size in (70, 50, 50, 70)]
    function = tf.function(lambda *tensors: differentiate(dense_attention, *tensors), autograph=False)
    graph = function.get_concrete_function(*specs).graph
    used = set.union(*(find_predecessors(tensor.op) for tensor in graph.outputs))
    passing = [graph.get_operation_by_name(name) for name in used]
    passing = [op for op in passing if op.type not in ("BatchMatMulV2", "Identity", "IdentityN")]
    maps = [tensor for op in passing for tensor in (*op.inputs, *op.outputs) if tensor.shape == [2, 70, 50]]
    assert sum(tensor.dtype.size for tensor in maps) == expected


@pytest.mark.parametrize("kind", ["float64", "float32", "bfloat16", "float16"])
def test_has_rounded_products(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for accelerator in (False, True):
        monkeypatch.setattr(accelerators, "has_accelerator", lambda accelerator=accelerator: accelerator)
        found.append(has_rounded_products(tf.as_dtype(kind)))
    assert found == {"float64": [False, False], "float32": [False, True]}.get(kind, [True, True])


@pytest.mark.usefixtures("written_out_gradients")
def test_saved_model(tmp_path: pathlib.Path) -> None:
    """A SavedModel keeps the gradients."""
    model = tf.Module()
    model.attend = tf.function(dense_attention, input_signature=SPECS, autograph=False)
    tf.saved_model.save(model, tmp_path)
    loaded = tf.saved_model.load(tmp_path).attend
    np.testing.assert_array_less(
        relative_errors(gradients(loaded, make_operands()), gradients(attend_plainly, make_operands())), 1e-12
    )
