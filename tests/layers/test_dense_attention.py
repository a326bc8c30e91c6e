"""Dense attention and its gradients against TensorFlow's own, in float64."""

from __future__ import annotations

import pathlib
from collections.abc import Callable, Sequence

import numpy as np
import pytest
import tensorflow as tf

from sagan_tf.layers import accelerators
from sagan_tf.layers import dense_attention as module
from sagan_tf.layers.dense_attention import attention_map, dense_attention, has_rounded_products
from tests.graphs import waits_for
from tests.layers.tflite import run_as_tflite

Tensors = Sequence[tf.Tensor]
Attention = Callable[[tf.Tensor, tf.Tensor, tf.Tensor], tuple[tf.Tensor, tf.Tensor]]

SPECS = [tf.TensorSpec([None, *shape], tf.float64) for shape in ((7, 3), (5, 3), (5, 4))]
COMPILED = {
    "eager": lambda function: function,
    "traced": lambda function: tf.function(function, autograph=False),
    "xla": lambda function: tf.function(function, autograph=False, jit_compile=True),
}


def plain(query: tf.Tensor, key: tf.Tensor, value: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """What TensorFlow differentiates by itself."""
    attention = attention_map(query, key)
    return tf.matmul(tf.cast(attention, value.dtype), value), attention


def operands(dtype: str = "float64", sizes: Sequence[int] = (2, 7, 5, 3, 4)) -> list[tf.Tensor]:
    """Query, key, value."""
    batch, queries, keys, narrow, wide = sizes
    random = np.random.default_rng(1)
    shapes = (batch, queries, narrow), (batch, keys, narrow), (batch, keys, wide)
    return [tf.cast(0.5 * random.normal(size=shape), dtype) for shape in shapes]


def loss_of(results: Tensors) -> tf.Tensor:
    """A loss of outputs and map whose slope differs from place to place and depends on both."""
    outputs, attention = (tf.cast(one, tf.float64) for one in results)
    slopes = tf.reshape(tf.cast(tf.range(tf.size(outputs)) % 7 - 2, tf.float64), tf.shape(outputs))
    return tf.reduce_sum(tf.sin(outputs * slopes)) + tf.reduce_sum(attention**3)


def gradients(attend: Attention, inputs: Tensors) -> list[tf.Tensor]:
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        loss = loss_of(attend(*inputs))
    return tape.gradient(loss, inputs)


def second_derivatives(attend: Attention, inputs: Tensors) -> list[tf.Tensor]:
    """Of the squared norm of the gradients, which is what R1 and R2 differentiate."""
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        norm = tf.add_n([tf.reduce_sum(tf.cast(one, tf.float64) ** 2) for one in gradients(attend, inputs)])
    return tape.gradient(norm, inputs)


def backward(attend: Attention, *tensors: tf.Tensor) -> list[tf.Tensor]:
    """Gradients of the operands, for operands and the gradient of the outputs."""
    *inputs, upstream = tensors
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        outputs = attend(*inputs)[0]
    return tape.gradient(outputs, inputs, output_gradients=upstream)


def errors(found: Tensors, exact: Tensors) -> np.ndarray:
    """Relative errors, by the norm of each tensor."""
    pairs = [(tf.cast(one, tf.float64), tf.cast(other, tf.float64)) for one, other in zip(found, exact, strict=True)]
    return np.array([float(tf.norm(one - other) / tf.norm(other)) for one, other in pairs])


@pytest.fixture(autouse=True)
def on_a_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accelerators, "has_accelerator", lambda: False)


@pytest.fixture
def gradients_written_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of rounded products, in float64, where nothing hides a wrong term."""
    monkeypatch.setattr(module, "has_rounded_products", lambda dtype: True)


@pytest.mark.usefixtures("gradients_written_out")
@pytest.mark.parametrize("compiled", COMPILED.values(), ids=COMPILED)
@pytest.mark.parametrize("derivatives", [gradients, second_derivatives])
def test_derivatives_are_those_of_the_plain_form(derivatives: Callable, compiled: Callable) -> None:
    inputs = operands()
    found = compiled(lambda *inputs: derivatives(dense_attention, inputs))(*inputs)
    np.testing.assert_array_less(errors(found, derivatives(plain, inputs)), 1e-12)


@pytest.mark.usefixtures("gradients_written_out")
def test_second_derivatives_are_differences_of_gradients() -> None:
    inputs, step = operands(), 1e-5
    directions = [tf.cos(3.0 * one) for one in inputs]

    def norm(distance: float) -> float:
        moved = [one + distance * direction for one, direction in zip(inputs, directions, strict=True)]
        return sum(float(tf.reduce_sum(one**2)) for one in gradients(plain, moved))

    found = second_derivatives(dense_attention, inputs)
    slope = sum(float(tf.reduce_sum(one * other)) for one, other in zip(found, directions, strict=True))
    assert slope == pytest.approx((norm(step) - norm(-step)) / (2.0 * step), rel=1e-7)


@pytest.mark.usefixtures("gradients_written_out")
def test_derivatives_of_a_function_that_was_traced_before() -> None:
    traced = tf.function(dense_attention, input_signature=SPECS, autograph=False)
    for derivatives in (gradients, second_derivatives):
        expected = derivatives(plain, operands())
        np.testing.assert_array_less(errors(derivatives(traced, operands()), expected), 1e-12)


@pytest.mark.usefixtures("gradients_written_out")
def test_forward_mode() -> None:
    inputs = operands()
    found = []
    for attend in (dense_attention, plain):
        with tf.autodiff.ForwardAccumulator(inputs, [tf.cos(one) for one in inputs]) as accumulator:
            results = attend(*inputs)
        found.append(accumulator.jvp(results))
    np.testing.assert_array_less(errors(*found), 1e-12)


def as_trained(dtype: str, mean: float) -> list[tf.Tensor]:
    """Query, key, value and the gradient of the outputs.

    With a `mean` of 1 they lie far from 0 for their deviations, as in TF-GAN's discriminator, and keys still farther.
    """
    random = np.random.default_rng(1)

    def draw(locations: int, channels: int, center: float, deviation: float) -> tf.Tensor:
        signs = random.choice([-1.0, 1.0], channels)
        array = mean * center * signs + deviation * random.normal(size=(2, locations, channels))
        return tf.cast(array, dtype)

    return [draw(256, 2, 6.0, 1.0), draw(128, 2, 8.0, 0.1), draw(128, 8, 17.0, 1.0), draw(256, 8, 1.6, 1.0)]


def assert_as_exact_as_the_plain_form(tensors: Tensors, factor: float) -> None:
    exact = backward(plain, *(tf.cast(one, tf.float64) for one in tensors))
    found, expected = (errors(backward(attend, *tensors), exact) for attend in (dense_attention, plain))
    np.testing.assert_array_less(found, factor * expected)


@pytest.mark.parametrize("mean", [0.0, 1.0])
@pytest.mark.parametrize(("accelerator", "dtype"), [(True, "float32"), (False, "bfloat16"), (False, "float16")])
def test_gradients_are_as_exact_as_those_of_the_plain_form(
    accelerator: bool, dtype: str, mean: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a mean, an error that all keys of a query share would outweigh gradients, but for float32."""
    monkeypatch.setattr(accelerators, "has_accelerator", lambda: accelerator)
    tensors = as_trained(dtype, mean)
    assert [one.dtype for one in backward(dense_attention, *tensors)] == [dtype] * 3
    assert_as_exact_as_the_plain_form(tensors, 2.0)


def test_gradients_with_tensor_float_32(monkeypatch: pytest.MonkeyPatch) -> None:
    """Emulated: operands of products are rounded to 10 bits."""
    query, key, value, upstream = tensors = as_trained("float32", 1.0)
    exact = backward(plain, *(tf.cast(one, tf.float64) for one in tensors))
    # Not in the forward pass, where rounded logits are wrong whatever differentiates them.
    weights = attention_map(query, key)
    outputs = tf.matmul(weights, value)
    product = tf.matmul

    def rounded(tensor: tf.Tensor) -> tf.Tensor:
        bits = tf.bitcast(tensor, tf.int32)
        even = tf.bitwise.bitwise_and(tf.bitwise.right_shift(bits, 13), 1)
        return tf.bitcast(tf.bitwise.bitwise_and(bits + 0x0FFF + even, ~0x1FFF), tf.float32)

    monkeypatch.setattr(accelerators, "has_accelerator", lambda: True)
    monkeypatch.setattr(tf, "matmul", lambda a, b, **options: product(rounded(a), rounded(b), **options))
    found = module.attention_gradients(query, key, value, weights, outputs, upstream)
    np.testing.assert_array_less(errors(found, exact), 1e-2)


def test_float32_on_a_cpu_is_differentiated_by_tensorflow() -> None:
    tensors = as_trained("float32", 1.0)
    for one, other in zip(backward(dense_attention, *tensors), backward(plain, *tensors), strict=True):
        np.testing.assert_array_equal(one, other)


def test_small_gradients_in_float16() -> None:
    """Gradients of logits are smaller than those of queries and keys, and than the least number of float16."""
    *inputs, upstream = (tf.cast(one, tf.float64) for one in as_trained("float16", 0.0))
    assert_as_exact_as_the_plain_form([tf.cast(one, tf.float16) for one in (*inputs, 2e-5 * upstream)], 1.2)


def test_large_features_do_not_overflow_float16() -> None:
    query, key, value = (1000.0 * one for one in operands("float16"))
    np.testing.assert_allclose(tf.reduce_sum(dense_attention(query, key, value)[1], -1), 1.0, rtol=1e-5)


# Bytes for each of a map's numbers that operations other than products read and write. Softmax reads and writes float32
# (8), a cast follows in half precision (6), and the gradient multiplies two maps (12 and 6). TensorFlow's gradient of
# softmax needs 36, and half precision 6 more for a cast.
@pytest.mark.parametrize(
    ("accelerator", "dtype", "expected"),
    [(True, "float32", 8 + 12), (True, "bfloat16", 8 + 6 + 6), (False, "float32", 8 + 36)],
)
def test_passes_over_the_map(accelerator: bool, dtype: str, expected: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accelerators, "has_accelerator", lambda: accelerator)
    specs = [tf.TensorSpec([2, size, 3], dtype) for size in (70, 50, 50, 70)]
    function = tf.function(lambda *tensors: backward(dense_attention, *tensors), autograph=False)
    graph = function.get_concrete_function(*specs).graph
    used = set.union(*(waits_for(tensor.op) for tensor in graph.outputs))
    passing = [graph.get_operation_by_name(name) for name in used]
    passing = [one for one in passing if one.type not in ("BatchMatMulV2", "Identity", "IdentityN")]
    maps = [tensor for one in passing for tensor in (*one.inputs, *one.outputs) if tensor.shape == [2, 70, 50]]
    assert sum(tensor.dtype.size for tensor in maps) == expected


@pytest.mark.parametrize("kind", ["float64", "float32", "bfloat16", "float16"])
def test_which_products_are_rounded(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for accelerator in (False, True):
        monkeypatch.setattr(accelerators, "has_accelerator", lambda accelerator=accelerator: accelerator)
        found.append(has_rounded_products(tf.as_dtype(kind)))
    assert found == {"float64": [False, False], "float32": [False, True]}.get(kind, [True, True])


@pytest.mark.usefixtures("gradients_written_out")
def test_saved_model(tmp_path: pathlib.Path) -> None:
    """The gradient survives too."""
    model = tf.Module()
    model.attend = tf.function(dense_attention, input_signature=SPECS, autograph=False)
    tf.saved_model.save(model, tmp_path)
    loaded = tf.saved_model.load(tmp_path).attend
    np.testing.assert_array_less(errors(gradients(loaded, operands()), gradients(plain, operands())), 1e-12)


@pytest.mark.usefixtures("gradients_written_out")
def test_tflite() -> None:
    inputs = operands("float32", (1, 7, 5, 3, 4))
    outputs = run_as_tflite(lambda *inputs: dense_attention(*inputs)[0], inputs)
    np.testing.assert_allclose(outputs, plain(*inputs)[0], atol=1e-6)
