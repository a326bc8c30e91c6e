"""Self-attention compared with loops over locations that follow the equations of the paper."""

import functools
import itertools
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from sagan_tf.layers import SelfAttention2D, SpectralNormalization, accelerators, self_attention
from sagan_tf.layers.attention_forms import ATTENTION_FORMS
from sagan_tf.layers.blockwise_attention import Blocks, blockwise_attention
from sagan_tf.layers.dense_attention import dense_attention
from tests.layers.test_dense_attention import attend_plainly

pytestmark = pytest.mark.usefixtures("on_a_cpu")

CHANNELS = 16
every_form = pytest.mark.parametrize("form", ATTENTION_FORMS)
dense_and_blockwise = pytest.mark.parametrize("blockwise", [False, True])


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Use several blocks per image, of which the last one is smaller."""
    in_small_blocks = functools.partial(blockwise_attention, blocks=Blocks(True, 4 * 24 * 7))
    monkeypatch.setattr(self_attention, "blockwise_attention", in_small_blocks)


def make_images(height: int = 4, width: int = 6, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(2, height, width, CHANNELS)).astype(np.float32)


def make_layer(form: str, x: np.ndarray, gamma: float = 0.7, **options: Any) -> SelfAttention2D:
    keras.utils.set_random_seed(2)
    layer = SelfAttention2D(form, kernel_initializer="he_normal", **options)
    layer.build(x.shape)
    layer.gamma.assign(gamma)
    return layer


def find_convolutions(layer: SelfAttention2D) -> dict[str, keras.layers.Layer]:
    """Return the 1x1 convolutions of the layer by name."""
    return {part.name: part for part in layer._flatten_layers(include_self=False, recursive=False)}


def compute_matrices(layer: SelfAttention2D) -> dict[str, np.ndarray]:
    """Return the applied matrix [input channels, output channels] of each 1x1 convolution, in float64."""
    result = {}
    for name, part in find_convolutions(layer).items():
        kernel = part.trainable_variables[0].numpy()[0, 0].astype(np.float64)
        result[name] = kernel / float(part.sigma()) if isinstance(part, SpectralNormalization) else kernel
    return result


def max_pool(x: np.ndarray) -> np.ndarray:
    """Return the maximum of each 2x2 square of [height, width, channels]; a last odd row or column is dropped."""
    height, width, channels = x.shape
    pooled = np.empty((height // 2, width // 2, channels))
    for row, column in np.ndindex(height // 2, width // 2):
        square = x[2 * row : 2 * row + 2, 2 * column : 2 * column + 2]
        pooled[row, column] = square.reshape(4, channels).max(axis=0)
    return pooled


def attend(x: np.ndarray, weights: dict[str, np.ndarray], gamma: float, form: str) -> tuple[np.ndarray, np.ndarray]:
    """Return y and the map of one image [height, width, channels], location by location."""
    height, width, _ = x.shape
    query = np.array([[weights["query"].T @ x[i, j] for j in range(width)] for i in range(height)])
    key = np.array([[weights["key"].T @ x[i, j] for j in range(width)] for i in range(height)])
    value = np.array([[weights["value"].T @ x[i, j] for j in range(width)] for i in range(height)])
    if form == "pooled":
        key, value = max_pool(key), max_pool(value)
    places = list(np.ndindex(*key.shape[:2]))
    y, beta = np.empty_like(x), np.empty((height, width, *key.shape[:2]))
    for j in itertools.product(range(height), range(width)):  # the query
        s = {i: float(key[i] @ query[j]) for i in places}
        largest = max(s.values())
        total = sum(np.exp(s[i] - largest) for i in places)
        gathered = np.zeros(value.shape[-1])
        for i in places:  # the key
            beta[j][i] = np.exp(s[i] - largest) / total
            gathered += beta[j][i] * value[i]
        o = gathered if form == "full" else weights["output"].T @ gathered
        y[j] = gamma * o + x[j]
    return y, beta


@every_form
@dense_and_blockwise
@pytest.mark.parametrize("spectral_norm", [None, {"power_iterations": 2}])
@pytest.mark.parametrize("size", [(4, 6), (5, 3)])
def test_values_equal_loops_over_locations(
    form: str, blockwise: bool, spectral_norm: dict[str, Any] | None, size: tuple[int, int]
) -> None:
    x = make_images(*size)
    layer = make_layer(form, x, spectral_norm=spectral_norm, blockwise=blockwise)
    outputs, attention_map = layer(x, return_attention_map=True)
    for image, y, beta in zip(x, outputs.numpy(), attention_map.numpy(), strict=True):
        expected_y, expected_map = attend(image.astype(np.float64), compute_matrices(layer), 0.7, form)
        np.testing.assert_allclose(beta, expected_map, atol=1e-5)
        np.testing.assert_allclose(y, expected_y, atol=1e-5)
    # Without the map, a blockwise layer takes another code path.
    np.testing.assert_allclose(layer(x).numpy(), outputs.numpy(), atol=1e-5 if blockwise else 0.0)


@every_form
def test_new_layer_is_the_identity(form: str) -> None:
    x = make_images()
    layer = SelfAttention2D(form)
    assert layer(x, training=True).numpy().tobytes() == x.tobytes()


def test_narrow_feature_maps_have_at_least_one_channel() -> None:
    x = make_images()[..., :3]
    assert [make_layer("pooled", x).query.filters, make_layer("full", x).value.filters] == [1, 3]


@every_form
@pytest.mark.parametrize("spectral_norm", [None, {}])
def test_gradients_reach_every_weight(form: str, spectral_norm: dict[str, Any] | None) -> None:
    x = make_images()
    layer = make_layer(form, x, spectral_norm=spectral_norm)

    def sizes() -> dict[str, float]:
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(tf.square(layer(x, training=True)))
        gradients = tape.gradient(loss, [variable.value for variable in layer.trainable_variables])
        names = [variable.path for variable in layer.trainable_variables]
        return {name: float(tf.norm(gradient)) for name, gradient in zip(names, gradients, strict=True)}

    assert min(sizes().values()) > 1e-3
    layer.gamma.assign(0.0)
    assert [name.split("/")[-1] for name, size in sizes().items() if size > 0.0] == ["gamma"]


def accumulated_gradients(layer: SelfAttention2D, x: np.ndarray) -> list[np.ndarray]:
    """Return the gradients of inputs and weights, accumulated over two parts as in `sagan_tf.training.gradients`."""

    def gradients(part: tf.Tensor) -> list[tf.Tensor]:
        sources = [part, *(variable.value for variable in layer.trainable_variables)]
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(sources)
            loss = tf.reduce_sum(tf.sin(3.0 * layer(part, training=True)))
        return tape.gradient(loss, sources)

    @tf.function(autograph=False)
    def update(first: tf.Tensor, second: tf.Tensor) -> list[tf.Tensor]:
        with keras.StatelessScope():
            total = gradients(first)
        with tf.control_dependencies(total):
            return [tf.add(*pair) for pair in zip(total, gradients(tf.identity(second)), strict=True)]

    return [gradient.numpy() for gradient in update(x, x[::-1])]


@every_form
@pytest.mark.parametrize(("batch", "size"), [pytest.param(1, (7, 5), marks=pytest.mark.slow), (3, (4, 6))])
def test_blockwise_gradients_equal_those_of_the_dense_form(form: str, batch: int, size: tuple[int, int]) -> None:
    x = np.random.default_rng(3).normal(size=(batch, *size, CHANNELS)).astype(np.float32)
    dense, in_blocks = (make_layer(form, x, spectral_norm={}, blockwise=blockwise) for blockwise in (False, True))
    for gradient, expected in zip(accumulated_gradients(in_blocks, x), accumulated_gradients(dense, x), strict=True):
        np.testing.assert_allclose(gradient, expected, atol=1e-5 * np.abs(expected).max())
        assert np.abs(expected).max() > 1e-3


def test_maps_that_are_computed_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """On an accelerator, a batch of unknown size has blocks, and 8 maps of 64 MiB are as large as dense maps may be."""
    calls = []

    def spy(query: tf.Tensor, *operands: tf.Tensor) -> tf.Tensor:
        calls.append(query.shape[0])
        return blockwise_attention(query, *operands)

    def trace(layer: SelfAttention2D, batch: int | None, size: int = 64, **options: bool) -> None:
        specification = tf.TensorSpec([batch, size, size, CHANNELS])
        layer.build(specification.shape)
        tf.function(lambda x: layer(x, **options), autograph=False).get_concrete_function(specification)

    monkeypatch.setattr(self_attention, "blockwise_attention", spy)
    for accelerator in (False, True):
        monkeypatch.setattr(accelerators, "has_accelerator", lambda accelerator=accelerator: accelerator)
        for batch in (None, 8, 9):
            trace(SelfAttention2D("full"), batch)
    assert calls == [None, 8, 9, None, 9]
    trace(SelfAttention2D("pooled"), 4)
    trace(SelfAttention2D("full", blockwise=False), 9)
    trace(SelfAttention2D("full"), 9, return_attention_map=True)
    assert len(calls) == 5
    trace(SelfAttention2D("pooled", blockwise=True), 4, 8)
    assert calls.pop() == 4


def penalty_derivatives(layer: SelfAttention2D, x: tf.Tensor) -> list[tf.Tensor]:
    """Differentiate the squared norm of the input gradient by inputs and weights, as R1 does.

    The loss depends on the outputs and on the map.
    """
    sources = [x, *(variable.value for variable in layer.trainable_variables)]
    with tf.GradientTape() as outer:
        outer.watch(sources)
        with tf.GradientTape() as inner:
            inner.watch(x)
            results = layer(x, return_attention_map=True)
            loss = tf.add_n([tf.reduce_sum(tf.sin(3.0 * tf.cast(result, tf.float32))) for result in results])
        norm = tf.reduce_sum(tf.square(inner.gradient(loss, x)))
    return [norm, *outer.gradient(norm, sources)]


@every_form
@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16"])
def test_gradient_penalty(monkeypatch: pytest.MonkeyPatch, form: str, precision: str) -> None:
    # On an accelerator, the gradients are not those of TensorFlow, for float32 too.
    monkeypatch.setattr(accelerators, "has_accelerator", lambda: True)
    x = tf.constant(make_images())

    def derivatives(attend: Callable[..., Any], precision: str) -> list[tf.Tensor]:
        monkeypatch.setattr(self_attention, "dense_attention", attend)
        return penalty_derivatives(make_layer(form, make_images(), dtype=precision), x)

    exact = derivatives(attend_plainly, "float32")

    def errors(attend: Callable[..., Any]) -> np.ndarray:
        found = derivatives(attend, precision)
        pairs = zip(found, exact, strict=True)
        return np.array([tf.norm(value - reference) / tf.norm(reference) for value, reference in pairs])

    assert min(float(tf.norm(reference)) for reference in exact) > 1e-3
    np.testing.assert_array_less(errors(dense_attention), 1.5 * errors(attend_plainly) + 1e-5)


@every_form
@pytest.mark.parametrize(
    ("precision", "tolerance", "blockwise"), [("mixed_float16", 5e-3, False), ("mixed_bfloat16", 5e-2, True)]
)
def test_mixed_precision(form: str, precision: str, tolerance: float, blockwise: bool) -> None:
    x = make_images()
    expected = make_layer(form, x, spectral_norm={})(x).numpy()
    layer = make_layer(form, x, spectral_norm={}, dtype=precision, blockwise=blockwise)
    outputs, attention_map = layer(x), layer(x, return_attention_map=True)[1]
    assert outputs.dtype == layer.compute_dtype
    assert attention_map.dtype == tf.float32
    # Half precision would only give three digits of the sums.
    np.testing.assert_allclose(np.sum(attention_map, axis=(3, 4)), 1.0, rtol=1e-5)
    assert {variable.dtype for variable in layer.variables} == {"float32"}
    np.testing.assert_allclose(tf.cast(outputs, "float32"), expected, atol=tolerance * np.abs(expected).max())


@every_form
@pytest.mark.parametrize("size", [(4, 6), (5, 7)])
@pytest.mark.parametrize("spectral_norm", [None, {}])
def test_attention_rows_equal_rows_of_the_map(
    form: str, size: tuple[int, int], spectral_norm: dict[str, Any] | None
) -> None:
    x = make_images(*size)
    layer = make_layer(form, x, spectral_norm=spectral_norm)
    whole = layer(x, return_attention_map=True)[1].numpy()
    # The locations differ between images, and some appear twice.
    queries = np.array([[[0, 0], [3, 5], [1, 2], [1, 2]], [[2, 4], [0, 5], [3, 0], [0, 0]]], np.int32)
    rows = layer.compute_attention_rows(tf.constant(x), tf.constant(queries)).numpy()
    assert rows.dtype == np.float32 and rows.shape == (2, 4, *whole.shape[3:])
    for image, number in np.ndindex(2, 4):
        row, column = queries[image, number]
        np.testing.assert_allclose(rows[image, number], whole[image, row, column], atol=1e-6)
    np.testing.assert_allclose(rows.sum(axis=(2, 3)), 1.0, rtol=1e-5)


@pytest.mark.parametrize("query", [(4, 0), (0, 6), (-1, 0), (0, -1), (100, 100)])
def test_attention_rows_outside_the_feature_map_are_rejected(query: tuple[int, int]) -> None:
    """Without the check, locations beyond the last column would be read from the next row."""
    x = make_images()
    with pytest.raises(tf.errors.InvalidArgumentError, match="queries must"):
        make_layer("pooled", x).compute_attention_rows(tf.constant(x), tf.constant([[[0, 0]], [query]], tf.int32))


@pytest.mark.parametrize(
    ("form", "size", "received"),
    [("google", (4, 4), "form.*'google'"), ("pooled", (1, 4), "1x4"), ("full", (None, 4), "Nonex4")],
)
def test_invalid_forms_and_sizes(form: str, size: tuple[int | None, int], received: str) -> None:
    with pytest.raises(ValueError, match=received):
        SelfAttention2D(form).build((None, *size, CHANNELS))
