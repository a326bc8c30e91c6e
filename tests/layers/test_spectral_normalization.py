"""Spectral normalization compared with singular values and NumPy, and the variables that it must not change."""

import functools
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from sagan_tf.layers import SpectralNormalization, spectral_normalization
from tests.layers.gradients import assert_close, outputs_and_gradients

LAYERS: dict[str, Callable[..., keras.layers.Layer]] = {
    "conv": lambda **options: keras.layers.Conv2D(5, 3, padding="same", **options),
    "transposed_conv": lambda **options: keras.layers.Conv2DTranspose(5, 4, 2, padding="same", **options),
    "dense": lambda **options: keras.layers.Dense(6, **options),
    "embedding": lambda **options: keras.layers.Embedding(7, 4, **options),
    # The kernels of these layers are larger than a batch of sixteen inputs.
    "wide_conv": lambda **options: keras.layers.Conv2D(40, 3, padding="same", **options),
    "wide_transposed_conv": lambda **options: keras.layers.Conv2DTranspose(80, 4, 2, padding="same", **options),
    "wide_dense": lambda **options: keras.layers.Dense(20, **options),
}
every_layer = pytest.mark.parametrize("kind", LAYERS)
both_forms = pytest.mark.parametrize("form", ["operations", "compiled"], indirect=True)


@pytest.fixture(autouse=True)
def form(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Select a form of the power iteration on any machine; test_power_iteration.py compares the forms."""
    name = getattr(request, "param", "operations")
    monkeypatch.setattr(spectral_normalization, "can_compile_for_gpu", lambda: name == "compiled")
    return name


def make_inputs(kind: str) -> np.ndarray:
    generator = np.random.default_rng(3)
    if kind == "embedding":
        return np.array([0, 3, 3, 6], np.int32)
    return generator.normal(size=(2, 9) if "dense" in kind else (2, 4, 5, 3)).astype(np.float32)


def make_wrapper(kind: str, scale: float = 1.0, layer_options: dict[str, Any] | None = None, **options: Any) -> Any:
    """Return a built wrapper with a normal kernel of deviation `scale`, and its inputs."""
    keras.utils.set_random_seed(5)
    wrapper = SpectralNormalization(LAYERS[kind](**(layer_options or {})), **options)
    inputs = make_inputs(kind)
    wrapper.build(inputs.shape)
    kernel = wrapper.layer.weights[0]
    kernel.assign(scale * np.random.default_rng(4).normal(size=kernel.shape))
    return wrapper, inputs


def reshape_to_matrix(kind: str, kernel: np.ndarray) -> np.ndarray:
    """Reshape a kernel to [all other axes, output channels], independently of the library."""
    if kind == "embedding":
        return kernel.T
    if "transposed" in kind:  # the kernel is [height, width, output, input]
        kernel = np.moveaxis(kernel, 2, 3)
    return kernel.reshape(-1, kernel.shape[-1])


def reshape_to_kernel(kind: str, values: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    if kind == "embedding":
        return values.T
    if "transposed" in kind:
        return np.moveaxis(values.reshape(shape[0], shape[1], shape[3], shape[2]), 2, 3)
    return values.reshape(shape)


def iterate_power(w: np.ndarray, u: np.ndarray, iterations: int) -> tuple[float, np.ndarray, np.ndarray]:
    """Return sigma, u and v, computed in float64."""
    w, u = w.astype(np.float64), u.astype(np.float64)
    for _ in range(iterations):
        v = w.T @ u / np.linalg.norm(w.T @ u)
        u = w @ v / np.linalg.norm(w @ v)
    return float((u.T @ w @ v)[0, 0]), u, v


def copy_without_wrapper(wrapper: SpectralNormalization, kernel: np.ndarray, inputs: np.ndarray) -> keras.layers.Layer:
    """Return a copy of the wrapped layer with another kernel."""
    layer = type(wrapper.layer).from_config(wrapper.layer.get_config())
    layer.build(inputs.shape)
    layer.set_weights([kernel, *wrapper.layer.get_weights()[1:]])
    return layer


@every_layer
def test_sigma_converges_to_the_largest_singular_value(kind: str) -> None:
    wrapper, inputs = make_wrapper(kind, power_iterations=4)
    kernel = wrapper.layer.get_weights()[0]
    call = tf.function(lambda: wrapper(inputs, training=True), autograph=False)
    for _ in range(30):
        call()
    expected = np.linalg.svd(reshape_to_matrix(kind, kernel), compute_uv=False)[0]
    np.testing.assert_allclose(wrapper.sigma().numpy(), expected, rtol=1e-4)
    plain = copy_without_wrapper(wrapper, kernel / expected, inputs)
    np.testing.assert_allclose(wrapper(inputs).numpy(), plain(inputs).numpy(), rtol=1e-3, atol=1e-4)


@both_forms
@every_layer
@pytest.mark.parametrize("power_iterations", [1, 3])
def test_number_of_power_iterations_per_call(kind: str, power_iterations: int) -> None:
    wrapper, inputs = make_wrapper(kind, power_iterations=power_iterations)
    w = reshape_to_matrix(kind, wrapper.layer.get_weights()[0])
    sigma, u, _ = iterate_power(w, wrapper.u.numpy(), power_iterations)
    np.testing.assert_allclose(wrapper.sigma().numpy(), sigma, rtol=1e-5)
    wrapper(inputs, training=True)
    np.testing.assert_allclose(wrapper.u.numpy(), u, atol=1e-5)


def test_u_of_a_layer_that_is_not_trainable_does_not_change() -> None:
    wrapper, inputs = make_wrapper("dense")
    before, sigma = wrapper.u.numpy(), wrapper.sigma().numpy()
    wrapper.trainable = False
    wrapper(inputs, training=True)
    np.testing.assert_array_equal(wrapper.u.numpy(), before)
    wrapper.trainable = True
    wrapper(inputs, training=True)
    assert np.abs(wrapper.u.numpy() - before).max() > 1e-3 and wrapper.sigma().numpy() >= sigma


def kernel_gradient(layer: keras.layers.Layer, variable: keras.Variable, inputs: np.ndarray) -> np.ndarray:
    """Return the dense gradient of a fixed, nonlinear function of the outputs."""
    with tf.GradientTape() as tape:
        outputs = layer(inputs)
        weights = tf.cos(tf.reshape(tf.range(tf.size(outputs), dtype=tf.float32), tf.shape(outputs)))
        loss = tf.reduce_sum(weights * tf.sin(tf.cast(outputs, tf.float32)))
    return tf.convert_to_tensor(tape.gradient(loss, variable.value)).numpy()


def call_with_derived_gradient(wrapper: SpectralNormalization, inputs: tf.Tensor) -> tf.Tensor:
    """Call the layer with the divided kernel and the gradient that TensorFlow derives."""
    kernel, u = tf.convert_to_tensor(wrapper.layer.weights[0]), tf.convert_to_tensor(wrapper.u)
    w = tf.transpose(kernel) if kernel.shape.rank == 2 and kernel.shape[0] != u.shape[0] else kernel
    w = tf.transpose(w, [0, 1, 3, 2]) if isinstance(wrapper.layer, keras.layers.Conv2DTranspose) else w
    w = tf.reshape(w, [u.shape[0], -1])
    for _ in range(wrapper.power_iterations):
        v = tf.stop_gradient(tf.linalg.normalize(tf.transpose(w) @ u)[0])
        u = tf.stop_gradient(tf.linalg.normalize(w @ v)[0])
    sigma = tf.reduce_sum(u * (w @ v))
    divisor = sigma if wrapper.constraint == "equal" else tf.maximum(sigma, 1.0)
    with keras.StatelessScope([(wrapper.layer.weights[0], kernel / divisor)]):
        return wrapper.layer(inputs)


@both_forms
@every_layer
@pytest.mark.parametrize("constraint", ["equal", "at_most"])
@pytest.mark.parametrize("scale", [0.02, 1.0])
def test_outputs_and_gradients_equal_those_of_the_divided_kernel(kind: str, constraint: str, scale: float) -> None:
    """Compare gradients of the inputs, the kernel and the bias, for sigma above and below 1."""
    wrapper, inputs = make_wrapper(kind, scale, constraint=constraint, power_iterations=2)
    assert (float(wrapper.sigma()) > 1.0) == (scale == 1.0)
    weights = [variable.value for variable in wrapper.trainable_variables]
    found = []
    for function in (wrapper, functools.partial(call_with_derived_gradient, wrapper)):
        call, arguments = (functools.partial(function, inputs), []) if kind == "embedding" else (function, [inputs])
        found.append(outputs_and_gradients(call, *arguments, others=weights))
    assert_close(found[0], found[1], 1e-5)


@pytest.mark.parametrize("dtype", ["float16", "int32"])
def test_inputs_of_other_dtypes_are_divided_in_float32(dtype: str) -> None:
    wrapper, _ = make_wrapper("wide_dense", scale=1e-5)
    inputs = np.arange(-9, 9).reshape(2, 9)
    expected = copy_without_wrapper(wrapper, wrapper.layer.get_weights()[0] / wrapper.sigma().numpy(), inputs)(
        inputs * 1.0
    )
    outputs = wrapper(tf.constant(inputs, dtype))
    assert outputs.dtype == tf.float32
    np.testing.assert_allclose(outputs.numpy(), expected.numpy(), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("units", "divides_inputs"), [(16, False), (17, True)])
def test_division_of_inputs_does_not_depend_on_the_batch_size(units: int, divides_inputs: bool) -> None:
    layer = SpectralNormalization(keras.layers.Dense(units))
    layer.build((None, 9))
    for batch in (None, 1, 16, 1000):
        graph = tf.function(layer, autograph=False).get_concrete_function(tf.TensorSpec([batch, 9])).graph
        divided = [op.inputs[0].shape.as_list() for op in graph.get_operations() if op.type == "RealDiv"]
        assert ([batch, 9] in divided) == divides_inputs


def test_inputs_of_unknown_size_are_not_divided() -> None:
    wrapper, inputs = make_wrapper("wide_conv")
    call = tf.function(wrapper, input_signature=[tf.TensorSpec([None, None, None, 3])], autograph=False)
    np.testing.assert_allclose(call(inputs).numpy(), wrapper(inputs).numpy(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", ["conv", "wide_conv", "wide_dense", "embedding"])
@pytest.mark.parametrize("scale", [0.0, 1e-7])
def test_small_kernels_in_float16(kind: str, scale: float) -> None:
    """The inputs divided by sigma would overflow float16, and the kernel would underflow."""
    wrapper, inputs = make_wrapper(kind, scale, layer_options={"dtype": "mixed_float16"})
    exact, _ = make_wrapper(kind, scale)
    exact.set_weights(wrapper.get_weights())
    inputs = inputs if kind == "embedding" else 10.0 * inputs
    outputs, expected = wrapper(inputs), exact(inputs)
    assert (outputs.dtype, expected.dtype) == (tf.float16, tf.float32)
    np.testing.assert_allclose(outputs.numpy(), expected.numpy(), rtol=0.0, atol=4e-3 * np.abs(expected).max())


@every_layer
def test_no_gradient_flows_through_u_and_v(kind: str) -> None:
    """The gradient is (G - <G, W> / sigma * u v^T) / sigma for G = dL/d(W / sigma), for a u that has not converged.

    For a converged u, sigma is stationary in u and v, and a gradient through them would not be detected.
    """
    wrapper, inputs = make_wrapper(kind)
    kernel = wrapper.layer.get_weights()[0]
    sigma, u, v = iterate_power(reshape_to_matrix(kind, kernel), wrapper.u.numpy(), 1)
    plain = copy_without_wrapper(wrapper, kernel / sigma, inputs)
    g = kernel_gradient(plain, plain.weights[0], inputs)
    expected = (g - np.sum(g * kernel) / sigma * reshape_to_kernel(kind, u @ v.T, kernel.shape)) / sigma
    gradient = kernel_gradient(wrapper, wrapper.layer.weights[0], inputs)
    np.testing.assert_allclose(gradient, expected, atol=1e-5 * np.abs(expected).max())


@every_layer
def test_gradient_is_orthogonal_to_the_kernel(kind: str) -> None:
    """With `equal`, outputs do not depend on the scale of the kernel; with `at_most`, those of a small kernel do."""

    def cosine(**options: Any) -> float:
        wrapper, inputs = make_wrapper(kind, scale=0.05, **options)
        kernel = wrapper.layer.get_weights()[0]
        gradient = kernel_gradient(wrapper, wrapper.layer.weights[0], inputs)
        return float(np.sum(kernel * gradient) / np.linalg.norm(kernel) / np.linalg.norm(gradient))

    assert abs(cosine(constraint="equal")) < 1e-5
    assert abs(cosine(constraint="at_most")) > 1e-3


@every_layer
@pytest.mark.parametrize(("constraint", "precision"), [("equal", "float32"), ("at_most", "mixed_bfloat16")])
def test_frozen_calls_keep_the_kernel(kind: str, constraint: str, precision: str) -> None:
    wrapper, inputs = make_wrapper(kind, constraint=constraint, layer_options={"dtype": precision})
    expected = wrapper(inputs)
    with wrapper.freeze_for_inference():
        eager = wrapper(inputs)
        compiled = tf.function(wrapper, autograph=False).get_concrete_function(tf.constant(inputs))
    wrapper.layer.weights[0].assign(tf.zeros_like(wrapper.layer.weights[0]))
    assert not wrapper(inputs).numpy().any()  # the new kernel is used again; biases are 0
    scale = np.abs(tf.cast(expected, "float32")).max()
    tolerance = (1e-5 if precision == "float32" else 1e-2) * scale
    for outputs in (eager, compiled(tf.constant(inputs))):
        assert outputs.dtype == expected.dtype
        np.testing.assert_allclose(tf.cast(outputs, "float32"), tf.cast(expected, "float32"), rtol=0.0, atol=tolerance)
    biases = [variable.value for variable in wrapper.layer.weights[1:]]
    assert all(any(variable is bias for bias in biases) for variable in compiled.graph.variables)


def test_freezing_ends_after_an_error() -> None:
    wrapper, inputs = make_wrapper("dense")
    with pytest.raises(KeyError), wrapper.freeze_for_inference():
        raise KeyError
    wrapper.layer.kernel.assign(tf.zeros_like(wrapper.layer.kernel))
    assert not wrapper(inputs).numpy().any()


@every_layer
def test_u_changes_only_in_training_and_kernels_never(kind: str) -> None:
    wrapper, inputs = make_wrapper(kind)
    before, raw = wrapper.u.numpy(), wrapper.layer.get_weights()
    assert wrapper.non_trainable_variables == [wrapper.u]
    wrapper(inputs)
    wrapper(inputs, training=False)
    with keras.StatelessScope():
        outputs = wrapper(inputs, training=True)
    assert wrapper.u.numpy().tobytes() == before.tobytes()
    np.testing.assert_array_equal(outputs.numpy(), wrapper(inputs, training=True).numpy())
    assert wrapper.u.numpy().tobytes() != before.tobytes()
    for old, new in zip(raw, wrapper.layer.get_weights(), strict=True):
        np.testing.assert_array_equal(new, old)


@both_forms
@every_layer
def test_zero_kernel_gives_finite_outputs_and_gradients(kind: str) -> None:
    wrapper, inputs = make_wrapper(kind, scale=0.0)
    assert np.all(np.isfinite(wrapper(inputs, training=True)))
    assert np.all(np.isfinite(kernel_gradient(wrapper, wrapper.layer.weights[0], inputs)))
    assert np.all(np.isfinite(wrapper.u))


def test_u_recovers_from_a_zero_kernel() -> None:
    wrapper, inputs = make_wrapper("dense", scale=0.0)
    wrapper(inputs, training=True)
    wrapper.layer.kernel.assign(3.0 * np.eye(9, 6))
    for _ in range(2):
        wrapper(inputs, training=True)
    np.testing.assert_allclose(wrapper.sigma().numpy(), 3.0, rtol=1e-5)


@pytest.mark.parametrize("layer", [keras.layers.ReLU(), keras.layers.DepthwiseConv2D(3)])
def test_unsupported_layers(layer: keras.layers.Layer) -> None:
    with pytest.raises(ValueError, match=f"layer.* {type(layer).__name__}"):
        SpectralNormalization(layer)


@pytest.mark.parametrize("precision", ["mixed_float16", "mixed_bfloat16"])
@pytest.mark.parametrize("kind", ["conv", "embedding", "wide_dense"])
def test_sigma_is_float32_in_mixed_precision(kind: str, precision: str) -> None:
    wrapper, inputs = make_wrapper(kind, layer_options={"dtype": precision})
    kernel = wrapper.layer.get_weights()[0]
    assert kernel.dtype == np.float32
    sigma, u, _ = iterate_power(reshape_to_matrix(kind, kernel), wrapper.u.numpy(), 1)
    assert wrapper.sigma().dtype == tf.float32
    outer = OuterLayer(wrapper, dtype=precision)
    outputs = outer(inputs, training=True)
    assert outputs.dtype == tf.as_dtype(precision.removeprefix("mixed_"))
    # In half precision, the third or fourth digit would be wrong.
    np.testing.assert_allclose(wrapper.u.numpy(), u, atol=1e-6)
    expected = copy_without_wrapper(wrapper, kernel / sigma, inputs)(inputs)
    np.testing.assert_allclose(tf.cast(outputs, "float32"), tf.cast(expected, "float32"), rtol=1e-2, atol=1e-3)


class OuterLayer(keras.layers.Layer):
    """A layer that calls another one; in mixed precision it casts variables that are read inside the call."""

    def __init__(self, layer: keras.layers.Layer, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.layer = layer

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        return self.layer(inputs, training=training)


@both_forms
def test_compiled_form_is_only_used_in_training(form: str) -> None:
    wrapper, inputs = make_wrapper("conv")

    def compiled_operations(training: bool) -> list[tf.Operation]:
        function = tf.function(lambda x: wrapper(x, training=training), autograph=False)
        graph = function.get_concrete_function(tf.constant(inputs)).graph
        return [op for op in graph.get_operations() if "_XlaMustCompile" in op.node_def.attr]

    assert len(compiled_operations(training=True)) == (form == "compiled")
    assert not compiled_operations(training=False)  # may be exported to any processor


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"power_iterations": 0}, "power_iterations.* 0"),
        ({"epsilon": 0.0}, "epsilon.* 0.0"),
        ({"epsilon": float("nan")}, "epsilon.* nan"),
        ({"constraint": "hard"}, "constraint.* 'hard'"),
    ],
)
def test_invalid_arguments(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SpectralNormalization(keras.layers.Dense(2), **options)
