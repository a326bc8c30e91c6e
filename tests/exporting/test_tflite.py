"""TFLite models, run by the interpreter that phones use, compared with the Keras network."""

import collections
import dataclasses
import io
import json
import zipfile
from unittest import mock

import numpy as np
import pytest

from sagan_tf.exporting.options import PRECISIONS
from sagan_tf.exporting.tflite import (
    LABELS_FILE,
    TFLiteGenerator,
    _import_interpreter,
    _make_calibration_examples,
    convert_generator,
)
from sagan_tf.networks.architectures import count_used_classes
from tests.exporting.small_export import GENERATORS, export_config, inputs_for, make_card, make_generator

UNUSUAL_NAMES = ["T-shirt/käfer 甲虫", "two\nlines", "caf\udce9"]
"""Python reads a byte that is not UTF-8 as a surrogate, which cannot be encoded."""
BOUNDS = {"float32": 1e-4, "float16": 1e-2, "dynamic_int8": 0.1, "int8": 0.25}
"""Bounds of the largest error of a pixel."""


@dataclasses.dataclass(frozen=True)
class Converted:
    """Models of one network in every precision, and its images of three latents and labels."""

    models: dict[str, bytes]
    inputs: dict[str, np.ndarray]
    expected: np.ndarray


@pytest.fixture(scope="module")
def converted():
    config = export_config(base_channels=4)
    network, inputs = make_generator(config), inputs_for(config)
    card = make_card(config, network) | {"class_names": UNUSUAL_NAMES}
    models = dict(convert_generator(network, config, count_used_classes(config), tuple(PRECISIONS), card))
    return Converted(models, inputs, network(list(inputs.values()), training=False).numpy())


@pytest.mark.parametrize("name", GENERATORS)
def test_images_of_a_generator(name):
    config = export_config(**GENERATORS[name])
    network, inputs = make_generator(config), inputs_for(config)
    ((precision, model),) = convert_generator(
        network, config, count_used_classes(config), ("float32",), make_card(config, network)
    )
    expected = network(list(inputs.values()), training=False).numpy()
    assert precision == "float32" and np.ptp(expected) > 0.3
    found = TFLiteGenerator(model)(**inputs)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_images_of_every_precision(converted, precision):
    found = TFLiteGenerator(converted.models[precision], threads=1)(**converted.inputs)
    errors = np.abs(found - converted.expected)
    assert errors.max() <= BOUNDS[precision]
    assert precision == "float32" or errors.max() > 1e-6  # otherwise the model does not have this precision


@pytest.mark.slow
def test_int8_models_use_no_sums_of_kernels():
    """The fastest forms of wide layers, from 192 channels on, sum kernels; their errors are three times as large."""
    config = export_config(base_channels=64, resolution=32, attention_resolutions=())
    network, inputs = make_generator(config), inputs_for(config)
    expected = network(list(inputs.values()), training=False)
    bounds = {"dynamic_int8": 0.01, "int8": 0.02}
    for precision, model in convert_generator(network, config, 3, tuple(bounds), make_card(config, network)):
        assert len(model) < 6e6  # sums of kernel taps would store 25 to 36 numbers for each 9
        assert np.abs(TFLiteGenerator(model)(**inputs) - expected).mean() <= bounds[precision]


def count_operations(model: bytes) -> collections.Counter[str]:
    interpreter = _import_interpreter()(model_content=model)
    details = interpreter._get_ops_details()  # there is no public API
    return collections.Counter(operation["op_name"] for operation in details)


def test_models_have_no_operations_that_are_slow_in_tflite(converted):
    """Transposed convolutions and broadcasting are slow; see `sagan_tf.layers.convolutions`."""
    for model in converted.models.values():
        assert not {"TRANSPOSE_CONV", "BROADCAST_TO"} & set(count_operations(model))
        assert count_operations(model)["RESIZE_NEAREST_NEIGHBOR"] == count_operations(model)["DEPTH_TO_SPACE"] == 3


def test_models_of_lower_precision_are_smaller(converted):
    """Half precision gathers two numbers per value."""
    sizes = [len(converted.models[precision]) for precision in ("float32", "float16", "dynamic_int8")]
    assert sizes == sorted(sizes, reverse=True) and sizes[0] - sizes[1] > 4000
    assert len(converted.models["int8"]) < sizes[1]
    whole, halves = (count_operations(converted.models[precision])["GATHER"] for precision in ("float32", "float16"))
    assert halves == 2 * whole > 0


def test_half_precision_preserves_gain_and_bias_of_classes():
    """With rounded values, the mean error is 2.3e-4, and the largest error of a trained run is three times as large."""
    config = export_config(base_channels=4)
    network = make_generator(config)
    latents = np.random.default_rng(0).normal(size=(64, 6)).astype(np.float32)
    labels: np.ndarray = np.arange(64, dtype=np.int32) % 3
    ((_, model),) = convert_generator(network, config, 3, ("float16",), make_card(config, network))
    errors = np.abs(TFLiteGenerator(model)(latents, labels) - network([latents, labels], training=False))
    assert errors.mean() <= 1.9e-4


@pytest.mark.parametrize("threads", [1, 3, 9])
def test_the_number_of_threads_does_not_change_the_images(converted, threads):
    """Some of these numbers are larger than the number of images, which may be 0."""
    inputs = {name: np.tile(values, (2,) + (1,) * (values.ndim - 1)) for name, values in converted.inputs.items()}
    generator = TFLiteGenerator(converted.models["float32"], threads)
    expected = [generator(**{name: values[row : row + 1] for name, values in inputs.items()})[0] for row in range(6)]
    np.testing.assert_array_equal(generator(**inputs), expected)
    assert generator(inputs["latents"][:0], inputs["labels"][:0]).shape == (0, *converted.expected.shape[1:])


def test_there_is_a_thread_for_each_core_that_the_process_may_use(monkeypatch):
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: set(range(77)), raising=False)
    monkeypatch.setattr("ai_edge_litert.interpreter.Interpreter", interpreter := mock.MagicMock())
    TFLiteGenerator(b"model")
    assert interpreter.call_args.kwargs["num_threads"] == 77


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_label_out_of_range_is_an_error(converted, precision):
    """The model still works afterwards."""
    generator = TFLiteGenerator(converted.models[precision])
    for label in (-1, 3, 10**6):
        with pytest.raises(RuntimeError, match="out of bounds"):
            generator(converted.inputs["latents"][:1], np.array([label], np.int32))
    assert np.abs(generator(**converted.inputs) - converted.expected).max() <= BOUNDS[precision]


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_model_contains_its_card_and_class_names(converted, precision):
    """They are in a zip file at the end of the model, which TFLite ignores. Each name is one line."""
    with zipfile.ZipFile(io.BytesIO(converted.models[precision])) as archive:
        assert sorted(archive.namelist()) == ["labels.txt", "model_card.json"] and archive.testzip() is None
        card = json.loads(archive.read("model_card.json"))
        names = archive.read(LABELS_FILE).decode("utf-8").split("\n")
    assert card["class_names"] == UNUSUAL_NAMES and card["latent_dim"] == 6
    assert names[0] == UNUSUAL_NAMES[0] and len(names) == 3 + 1 and names[-1] == ""


@pytest.mark.parametrize("num_classes", [0, 1, 3, 1000])
def test_calibration_covers_many_classes(num_classes):
    """The examples are the same each time, and all labels are valid."""
    examples = _make_calibration_examples(6, num_classes)
    found = list(examples())
    labels = np.concatenate([example["labels"] for example in found])
    assert labels.dtype == np.int32 and labels.min() == 0 and labels.max() < max(num_classes, 1)
    assert len(set(labels.tolist())) == min(max(num_classes, 1), len(labels))
    assert {example["latents"].shape for example in found} == {(1, 6)}
    for first, second in zip(found, examples(), strict=True):
        np.testing.assert_array_equal(first["latents"], second["latents"])
