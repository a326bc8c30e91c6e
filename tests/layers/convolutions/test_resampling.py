"""Forms of `ResamplingConvolution` compared with the plain form, its weights, and the choice of the form."""

import operator
import pathlib
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from sagan_tf.layers import ResamplingConvolution, SpectralNormalization, accelerators
from sagan_tf.layers.convolutions.resampling import FORMS, choose_fastest_form
from tests.layers.convolutions.test_forms import make_operands
from tests.layers.gradients import assert_close, outputs_and_gradients
from tools.benchmarks.arithmetic import count_multiply_adds

pytestmark = pytest.mark.usefixtures("on_a_cpu")

SIZE, CHANNELS, FILTERS = (8, 4), 5, 7
RESULT_SIZES = {"up": (16, 8), "down": (4, 2), "none": SIZE}
CASES = [(resampling, form) for resampling, forms in FORMS.items() for form in ("auto", *forms)]

every_case = pytest.mark.parametrize(("resampling", "form"), CASES)
every_resampling = pytest.mark.parametrize("resampling", FORMS)
every_kernel_size = pytest.mark.parametrize("kernel_size", [1, 3])


def make_features(batch: int = 3, size: tuple[int, int] = SIZE, channels: int = CHANNELS) -> np.ndarray:
    return make_operands(size, batch, channels)[0].astype(np.float32)


def make_layer(
    resampling: str, form: str, kernel_size: int = 3, seed: int = 5, **options: Any
) -> ResamplingConvolution:
    layer = ResamplingConvolution(FILTERS, kernel_size, resampling, form, name="convolution", **options)
    layer.build((None, *SIZE, CHANNELS))
    generator = np.random.default_rng(seed)
    for variable in layer.variables:
        variable.assign(generator.normal(size=variable.shape))
    return layer


@every_case
@pytest.mark.parametrize(("kernel_size", "use_bias"), [(1, False), (3, True)])
def test_every_form_equals_the_plain_form(resampling: str, form: str, kernel_size: int, use_bias: bool) -> None:
    layer, plain = (make_layer(resampling, name, kernel_size, use_bias=use_bias) for name in (form, "plain"))
    results, expected = (
        outputs_and_gradients(each, make_features(), others=[weight.value for weight in each.trainable_variables])
        for each in (layer, plain)
    )
    assert len(results) == (4 if use_bias else 3)
    assert_close(results, expected)
    assert tuple(results[0].shape) == layer.compute_output_shape((3, *SIZE, CHANNELS))
    assert results[0].shape[1:3] == RESULT_SIZES[resampling]


@every_resampling
@every_kernel_size
def test_plain_form_equals_keras(resampling: str, kernel_size: int) -> None:
    layer, x = make_layer(resampling, "plain", kernel_size), tf.constant(make_features())
    convolution = keras.layers.Conv2D(FILTERS, kernel_size, padding="same")
    convolution.build((None, *SIZE, CHANNELS))
    convolution.set_weights(layer.get_weights())
    if resampling == "up":
        expected = convolution(keras.layers.UpSampling2D(2)(x))
    else:
        expected = convolution(x) if resampling == "none" else keras.layers.AveragePooling2D(2)(convolution(x))
    assert_close([layer(x)], [expected], 1e-5)


def multiply_adds(layer: ResamplingConvolution, x: np.ndarray) -> int:
    return count_multiply_adds(tf.function(layer, autograph=False).get_concrete_function(tf.constant(x)).graph)


@every_resampling
def test_1x1_convolution_is_computed_on_the_smaller_side(resampling: str) -> None:
    per_location, locations = CHANNELS * FILTERS, {"up": 8 * 4, "down": 4 * 2, "none": 8 * 4}[resampling]
    plain = {"up": 16 * 8, "down": 8 * 4, "none": 8 * 4}[resampling]
    assert multiply_adds(make_layer(resampling, "auto", 1), make_features(1)) == per_location * locations
    assert multiply_adds(make_layer(resampling, "plain", 1), make_features(1)) == per_location * plain


@every_case
def test_checkpoints_do_not_depend_on_the_form(resampling: str, form: str, tmp_path: pathlib.Path) -> None:
    """Variables have the same names, paths, shapes and tracking in all forms."""

    def network(form: str, seed: int) -> keras.Model:
        layer = ResamplingConvolution(FILTERS, 3, resampling, form, name="convolution")
        inputs = keras.Input((*SIZE, CHANNELS))
        model = keras.Model(inputs, SpectralNormalization(layer)(inputs))
        generator = np.random.default_rng(seed)
        for variable in model.variables:
            variable.assign(generator.normal(size=variable.shape))
        return model

    saved, restored = network("plain", 1), network(form, 2)
    properties = operator.attrgetter("path", "name", "shape", "trainable")
    assert list(map(properties, restored.variables)) == list(map(properties, saved.variables))
    prefix = tf.train.Checkpoint(network=saved).write(str(tmp_path / "checkpoint"))
    tf.train.Checkpoint(network=restored).read(prefix).assert_consumed()
    assert_close([restored(make_features())], [saved(make_features())])


@every_resampling
@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision(resampling: str, precision: str) -> None:
    layer, exact = make_layer(resampling, "auto", dtype=precision), make_layer(resampling, "plain")
    dtype = precision.removeprefix("mixed_")
    x = tf.cast(make_features(), dtype)
    outputs = layer(x)
    assert outputs.dtype == tf.as_dtype(dtype)
    assert {variable.dtype for variable in layer.variables} == {"float32"}
    assert_close([outputs], [exact(tf.cast(x, "float32"))], 3e-2 if dtype == "bfloat16" else 4e-3)


@pytest.fixture
def used(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """The resampling and form of every 3x3 convolution that is computed."""
    found: list[tuple[str, str]] = []

    def create_recorder(resampling: str, name: str) -> Any:
        form = FORMS[resampling][name]

        def record(x: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
            found.append((resampling, name))
            return form(x, kernel)

        return record

    for resampling, forms in FORMS.items():
        for name in forms:
            monkeypatch.setitem(forms, name, create_recorder(resampling, name))
    return found


@every_case
def test_requested_form_is_used(resampling: str, form: str, used: list[tuple[str, str]]) -> None:
    make_layer(resampling, form)(make_features())
    expected = choose_fastest_form(resampling, (*SIZE, CHANNELS), FILTERS) if form == "auto" else form
    assert used == [(resampling, expected)]


@pytest.mark.parametrize(("resampling", "width"), [("up", 128), ("down", 96), ("none", 96)])
def test_auto_depends_on_width_and_not_on_the_batch(resampling: str, width: int, used: list[tuple[str, str]]) -> None:
    for channels, form in ((width - 1, "plain" if resampling == "none" else "strided"), (width, "minimal_4")):
        layer = ResamplingConvolution(width, 3, resampling)
        layer.build((None, 16, 16, channels))
        for batch in (1, 16):
            layer(make_features(batch, (16, 16), channels))
        tf.function(layer, autograph=False).get_concrete_function(tf.TensorSpec([None, 16, 16, channels]))
        assert set(used) == {(resampling, form)}
        used.clear()


@pytest.mark.parametrize(
    ("resampling", "inputs", "filters", "expected"),
    [
        ("up", (16, 16, 128), 128, "minimal_4"),
        ("up", (16, 16, 128), 127, "strided"),
        ("up", (8, 8, 100), 156, "minimal_4"),  # the sum decides
        ("up", (8, 7, 256), 256, "minimal_2"),  # 14 is not a multiple of the large tile size
        ("up", (8, 7, 128), 255, "strided"),
        ("up", (8, 8, 1024), 512, "minimal_2"),  # the kernel is large in comparison to the 16 x 16 results
        ("up", (8, 8, 1024), 511, "minimal_4"),
        ("up", (1, 1, 192), 192, "minimal_2"),
        ("up", (1, 1, 192), 191, "strided"),
        ("down", (16, 16, 95), 96, "strided"),
        ("down", (32, 34, 256), 256, "minimal_2"),
        ("down", (18, 18, 192), 191, "strided"),
        ("down", (18, 18, 192), 192, "minimal_2"),
        ("down", (8, 8, 383), 1, "minimal_4"),
        ("down", (4, 4, 192), 192, "minimal_2"),
        ("down", (4, 4, 192), 191, "strided"),
        ("none", (16, 4, 96), 96, "minimal_4"),
        ("none", (32, 32, 95), 96, "plain"),
        ("none", (14, 14, 192), 192, "minimal_2"),
        ("none", (6, 6, 192), 191, "plain"),
        ("none", (8, 7, 512), 512, "plain"),
    ],
)
def test_choose_fastest_form(resampling: str, inputs: tuple[int, int, int], filters: int, expected: str) -> None:
    assert choose_fastest_form(resampling, inputs, filters) == expected
    assert expected in FORMS[resampling]


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_uses_small_tiles(dtype: str) -> None:
    assert choose_fastest_form("none", (16, 16, 192), 192, dtype) == "minimal_2"
    assert choose_fastest_form("none", (16, 16, 192), 191, dtype) == "plain"
    assert choose_fastest_form("down", (64, 64, 96), 96, dtype) == "strided"
    assert choose_fastest_form("none", (16, 16, 192), 192, "float64") == "minimal_4"


def test_auto_depends_on_mixed_precision(used: list[tuple[str, str]]) -> None:
    layer = ResamplingConvolution(192, 3, dtype="mixed_bfloat16")
    layer(tf.zeros([1, 16, 16, 192]))
    assert used == [("none", "minimal_2")]


def test_forms_on_an_accelerator(monkeypatch: pytest.MonkeyPatch, used: list[tuple[str, str]]) -> None:
    assert choose_fastest_form("none", (16, 16, 512), 512, target="accelerator") == "plain"
    assert choose_fastest_form("up", (4, 4, 1024), 1024, target="accelerator") == "strided"
    assert choose_fastest_form("down", (8, 8, 512), 512, target="accelerator") == "strided"
    monkeypatch.setattr(accelerators, "has_accelerator", lambda: True)
    ResamplingConvolution(192, 3)(tf.zeros([1, 16, 16, 192]))
    assert used == [("none", "plain")]


def test_forms_in_tflite(used: list[tuple[str, str]]) -> None:
    assert choose_fastest_form("up", (16, 16, 32), 32, target="tflite") == "subpixel"
    assert choose_fastest_form("up", (16, 16, 192), 192, target="tflite") == "minimal_4"
    assert choose_fastest_form("none", (16, 16, 32), 32, target="tflite") == "plain"
    ResamplingConvolution(8, 3, "up", "auto_tflite")(tf.zeros([1, 4, 4, 8]))
    ResamplingConvolution(8, 3, "up", "auto")(tf.zeros([1, 4, 4, 8]))
    assert used == [("up", "subpixel"), ("up", "strided")]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kernel_size": 2}, "kernel_size.* 2"),
        ({"kernel_size": 5}, "kernel_size.* 5"),
        ({"resampling": "twice"}, "resampling.* 'twice'"),
        ({"resampling": "none", "form": "fast"}, "form.* 'fast'"),
        ({"strides": 2}, "strides.* 2"),
        ({"padding": "valid"}, "padding.* 'valid'"),
        ({"activation": "relu"}, "activation.* 'relu'"),
        ({"groups": 2}, "groups.* 2"),
        ({"dilation_rate": 2}, "dilation_rate.* 2"),
        ({"data_format": "channels_first"}, "data_format.* 'channels_first'"),
    ],
)
def test_invalid_arguments(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ResamplingConvolution(FILTERS, **options)


@pytest.mark.parametrize(
    ("resampling", "form", "size"),
    [
        ("down", "auto", (5, 4)),
        ("down", "plain", (4, 5)),
        ("down", "strided", (3, 3)),
        ("down", "minimal_2", (None, 4)),
        ("down", "minimal_4", (6, 4)),
        ("none", "minimal_2", (4, 7)),
        ("none", "minimal_4", (4, 6)),
        ("none", "auto", (4, None)),
        ("up", "auto", (None, 4)),
        ("up", "minimal_4", (3, 4)),
    ],
)
def test_invalid_input_sizes(resampling: str, form: str, size: tuple[Any, Any]) -> None:
    with pytest.raises(ValueError, match=rf"\({size[0]}, {size[1]}\)"):
        ResamplingConvolution(FILTERS, 3, resampling, form).build((None, *size, CHANNELS))


@every_kernel_size
def test_odd_size_is_rejected_after_an_even_size(kernel_size: int) -> None:
    """The forms would treat the last row differently."""
    for form in FORMS["down"]:
        with pytest.raises(ValueError, match=r"\(8, 5\)"):
            make_layer("down", form, kernel_size)(make_features(size=(8, 5)))
