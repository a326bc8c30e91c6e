"""TFLite models, run as phones run them, against the Keras network."""

from __future__ import annotations

import collections
import dataclasses
import io
import json
import sys
import zipfile
from typing import Any

import numpy as np
import pytest

from sagan_tf.errors import UserError
from sagan_tf.exporting.options import PRECISIONS
from sagan_tf.exporting.tflite import LABELS_FILE, LiteGenerator, _calibration, _interpreter, check_tflite, convert
from sagan_tf.networks.architectures import used_classes
from tests.exporting.small_export import GENERATORS, card_of, export_config, inputs_for, make_generator

ODD_NAMES = ["T-shirt/top", "käfer 甲虫", "two\nlines"]
BOUNDS = {"float32": 1e-4, "float16": 1e-2, "dynamic_int8": 0.1, "int8": 0.25}
"""Of the largest error of a pixel."""


@dataclasses.dataclass(frozen=True)
class Converted:
    """One network in every precision, with what it answers to three latents and labels."""

    models: dict[str, bytes]
    inputs: dict[str, np.ndarray]
    expected: np.ndarray


@pytest.fixture(scope="module")
def converted() -> Converted:
    config = export_config(base_channels=4)
    network, inputs = make_generator(config), inputs_for(config)
    card = card_of(config, network) | {"class_names": ODD_NAMES}
    models = dict(convert(network, config, used_classes(config), PRECISIONS, card))
    return Converted(models, inputs, network(list(inputs.values()), training=False).numpy())


@pytest.mark.parametrize("name", GENERATORS)
def test_pictures_of_a_generator(name: str) -> None:
    config = export_config(**GENERATORS[name])
    network, inputs = make_generator(config), inputs_for(config)
    ((precision, model),) = convert(network, config, used_classes(config), ("float32",), card_of(config, network))
    expected = network(list(inputs.values()), training=False).numpy()
    assert precision == "float32" and np.ptp(expected) > 0.3
    found = LiteGenerator(model)(**inputs)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_pictures_of_every_precision(converted: Converted, precision: str) -> None:
    found = LiteGenerator(converted.models[precision], threads=1)(**converted.inputs)
    errors = np.abs(found - converted.expected)
    assert errors.max() <= BOUNDS[precision]
    assert precision == "float32" or errors.max() > 1e-6  # or it is not of that precision


@pytest.mark.parametrize(("precision", "mean_error"), [("dynamic_int8", 0.01), ("int8", 0.02)])
def test_kernels_of_eight_bits_are_not_summed(precision: str, mean_error: float) -> None:
    """As the fastest forms of wide layers do, whose errors are thrice as large (they start at 192 channels)."""
    config = export_config(base_channels=64, resolution=32, attention_resolutions=())
    network, inputs = make_generator(config), inputs_for(config)
    ((_, model),) = convert(network, config, used_classes(config), (precision,), card_of(config, network))
    assert len(model) < 6e6  # combinations of taps are 25 to 36 for each 9
    errors = np.abs(LiteGenerator(model)(**inputs) - network(list(inputs.values()), training=False))
    assert errors.mean() <= mean_error


def operations(model: bytes) -> collections.Counter[str]:
    interpreter = _interpreter()(model_content=model)
    return collections.Counter(one["op_name"] for one in interpreter._get_ops_details())  # there is no public way


def test_what_is_slow_in_tflite_is_not_in_models(converted: Converted) -> None:
    """Transposed convolutions and broadcasting, see `convolution_forms`."""
    for model in converted.models.values():
        assert not {"TRANSPOSE_CONV", "BROADCAST_TO"} & set(operations(model))
        assert operations(model)["RESIZE_NEAREST_NEIGHBOR"] == operations(model)["DEPTH_TO_SPACE"] == 3


def test_in_half_precision_all_rows_of_classes_are_in_halves(converted: Converted) -> None:
    whole, halves = (operations(converted.models[precision])["GATHER"] for precision in ("float32", "float16"))
    assert halves == 2 * whole > 0


def test_half_precision_keeps_gain_and_bias_of_classes() -> None:
    """As two halves each. Rounded, the mean error is 2.3e-4, and on a trained run the largest three times as large."""
    config = export_config(base_channels=4)
    network = make_generator(config)
    latents = np.random.default_rng(0).normal(size=(64, 6)).astype(np.float32)
    labels = np.arange(64, dtype=np.int32) % 3
    ((_, model),) = convert(network, config, 3, ("float16",), card_of(config, network))
    errors = np.abs(LiteGenerator(model)(latents, labels) - network([latents, labels], training=False))
    assert errors.mean() <= 1.9e-4


@pytest.mark.parametrize("threads", [1, 2, 3, 9])
def test_any_number_of_threads_gives_the_same_pictures(converted: Converted, threads: int) -> None:
    """Dealt out to several interpreters, more than there are pictures for some of them."""
    inputs = {name: np.tile(values, (2,) + (1,) * (values.ndim - 1)) for name, values in converted.inputs.items()}
    generator = LiteGenerator(converted.models["float32"], threads)
    expected = [generator(**{name: values[row : row + 1] for name, values in inputs.items()})[0] for row in range(6)]
    np.testing.assert_array_equal(generator(**inputs), expected)


def test_less_precise_ones_are_smaller(converted: Converted) -> None:
    sizes = [len(converted.models[precision]) for precision in ("float32", "float16", "dynamic_int8")]
    assert sizes == sorted(sizes, reverse=True) and sizes[0] - sizes[1] > 4000
    assert len(converted.models["int8"]) < sizes[1]


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("label", [-1, 3, 10**6])
def test_a_label_that_is_no_class_is_no_picture(converted: Converted, precision: str, label: int) -> None:
    generator = LiteGenerator(converted.models[precision])
    with pytest.raises(RuntimeError, match="out of bounds"):
        generator(converted.inputs["latents"][:1], np.array([label], np.int32))
    found = generator(**converted.inputs)  # it goes on afterwards
    assert np.abs(found - converted.expected).max() <= BOUNDS[precision]


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_model_holds_its_card_and_names(converted: Converted, precision: str) -> None:
    """As a zip file, which TFLite does not mind; a name is one line."""
    with zipfile.ZipFile(io.BytesIO(converted.models[precision])) as archive:
        assert sorted(archive.namelist()) == ["labels.txt", "model_card.json"] and archive.testzip() is None
        card = json.loads(archive.read("model_card.json"))
        names = archive.read(LABELS_FILE).decode("utf-8").split("\n")
    assert card["class_names"] == ODD_NAMES and card["latent_dim"] == 6
    assert names[:2] == ODD_NAMES[:2] and len(names) == 3 + 1 and names[-1] == ""


def test_names_of_folders_whose_bytes_are_no_text() -> None:
    """Python reads such a byte as half of a pair, which no encoding writes."""
    config = export_config(attention_resolutions=())
    network = make_generator(config)
    card = card_of(config, network) | {"class_names": ["caf\udce9", "b", "c"]}
    ((_, model),) = convert(network, config, 3, ("float32",), card)
    with zipfile.ZipFile(io.BytesIO(model)) as archive:
        assert len(archive.read(LABELS_FILE).decode("utf-8").splitlines()) == 3


def test_no_pictures_of_no_latents(converted: Converted) -> None:
    generator = LiteGenerator(converted.models["float32"])
    found = generator(converted.inputs["latents"][:0], converted.inputs["labels"][:0])
    assert found.shape == (0, *converted.expected.shape[1:])


@pytest.mark.parametrize("num_classes", [0, 1, 3, 1000])
def test_calibration_is_of_many_classes(num_classes: int) -> None:
    """Each time the same, and of classes that there are."""
    examples = _calibration(6, num_classes)
    found = list(examples())
    labels = np.concatenate([one["labels"] for one in found])
    assert labels.dtype == np.int32 and labels.min() == 0 and labels.max() < max(num_classes, 1)
    assert len(set(labels.tolist())) == min(max(num_classes, 1), len(labels))
    assert {one["latents"].shape for one in found} == {(1, 6)}
    for one, other in zip(found, examples(), strict=True):
        np.testing.assert_array_equal(one["latents"], other["latents"])


def test_what_runs_them_has_to_be_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    check_tflite()
    missing: Any = None
    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", missing)
    expected = (
        r"^formats: expected the package ai-edge-litert for tflite, received none .*; install it: .*ai-edge-litert$"
    )
    with pytest.raises(UserError, match=expected):
        check_tflite()
