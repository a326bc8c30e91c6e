"""The directory of TFLite models: its models, its parity report, and errors that leave it unchanged."""

from __future__ import annotations

import dataclasses
import json
import logging
import pathlib
from typing import Any

import keras
import numpy as np
import pytest
from PIL import Image

from sagan_tf.config import EvaluationConfig
from sagan_tf.errors import UserError
from sagan_tf.exporting import tflite_files
from sagan_tf.exporting.atomic_directories import replace_directories_atomically
from sagan_tf.exporting.model_card import Origin
from sagan_tf.exporting.options import PRECISIONS, ExportOptions
from sagan_tf.exporting.tflite import TFLiteGenerator
from sagan_tf.exporting.tflite_files import write_tflite
from sagan_tf.features.extractors import PACKAGED_EXTRACTORS
from tests.exporting.small_export import export_config, inputs_for, list_files, make_generator, make_origin

GRAY = {"image_channels": 1, "attention_resolutions": ()}


@pytest.fixture(scope="module")
def network() -> keras.Model:
    return make_generator(export_config(**GRAY))


@pytest.fixture(scope="module")
def origin() -> Origin:
    return make_origin(export_config(**GRAY))


@pytest.fixture(scope="module")
def directory(network: keras.Model, origin: Origin, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Write models of all precisions over an existing directory."""
    path = tmp_path_factory.mktemp("exports") / "tflite"
    path.mkdir()
    (path / "older").touch()
    write(network, origin, make_options(parity_samples=10), path)
    return path


def write(network: keras.Model, origin: Origin, options: ExportOptions, path: pathlib.Path) -> None:
    with replace_directories_atomically([path]) as (directory,):
        write_tflite(network, origin, options, directory)


def make_options(**options: Any) -> ExportOptions:
    return ExportOptions(run_dir="run", formats=("tflite",), **{"parity_samples": 2, **options})


def read_report(directory: pathlib.Path) -> dict[str, Any]:
    return json.loads((directory / "parity.json").read_text())


def test_a_model_of_every_precision(directory: pathlib.Path, network: keras.Model) -> None:
    models = [f"generator_{precision}.tflite" for precision in PRECISIONS]
    assert list_files(directory) == sorted([*models, "model_card.json", "parity.json", "parity.png"])
    inputs = inputs_for(export_config(**GRAY))
    expected = network(list(inputs.values()), training=False)
    for name in models:
        found = TFLiteGenerator((directory / name).read_bytes())(**inputs)
        assert np.abs(found - expected).mean() < 0.05, name
    assert json.loads((directory / "model_card.json").read_text())["class_names"] == ["apple", "banana", "cherry"]


def test_the_parity_report(directory: pathlib.Path) -> None:
    report = read_report(directory)
    assert list(report) == list(PRECISIONS)
    for precision, found in report.items():
        assert (
            found["num_samples"] == 10
            and found["kept"]
            and found["features"] == "means of a 4 x 4 grid of image regions"
        )
        assert found["bytes"] == (directory / f"generator_{precision}.tflite").stat().st_size
        assert 0 <= found["mean_error"] <= found["max_error"] and abs(found["frechet_distance"]) < 0.05
    assert report["float32"]["max_error"] < 1e-4 < report["int8"]["max_error"]


def test_the_image_of_the_comparison(directory: pathlib.Path) -> None:
    """It has rows of eight images; the first is that of the generator, and that of float32 is the same."""
    with Image.open(directory / "parity.png") as image:
        pixels = np.asarray(image).astype(int)
    side = 64  # 32 px are enlarged twice; a gap of 2 between
    rows = [pixels[-2 - (5 - row) * (side + 2) + 2 :][:side, -8 * (side + 2) :] for row in range(5)]
    assert np.abs(rows[0] - rows[1]).max() <= 1 and np.ptp(rows[0]) > 50
    assert 0 < np.abs(rows[0] - rows[4]).mean() < 8


def test_a_model_above_the_largest_mean_error_is_left_out(
    network: keras.Model, origin: Origin, tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture
) -> None:
    options = make_options(tflite_precisions=("int8", "float32"), largest_mean_error=1e-5)
    logger = logging.getLogger("sagan_tf")
    logger.addHandler(caplog.handler)
    try:
        with caplog.at_level(logging.INFO, "sagan_tf"):
            write(network, origin, options, tmp_path / "tflite")
    finally:
        logger.removeHandler(caplog.handler)
    assert list_files(tmp_path / "tflite") == [
        "generator_float32.tflite",
        "model_card.json",
        "parity.json",
        "parity.png",
    ]
    assert {precision: entry["kept"] for precision, entry in read_report(tmp_path / "tflite").items()} == {
        "int8": False,
        "float32": True,
    }
    assert "left out" in caplog.text and "--largest_mean_error" in caplog.text


def test_no_model_within_the_largest_mean_error_is_an_error(
    network: keras.Model, origin: Origin, tmp_path: pathlib.Path
) -> None:
    with pytest.raises(UserError, match="^largest_mean_error: .*1e-09.*int8"):
        write(network, origin, make_options(tflite_precisions=("int8",), largest_mean_error=1e-9), tmp_path / "tflite")
    assert list_files(tmp_path) == []


@pytest.mark.parametrize("extractor", PACKAGED_EXTRACTORS)
def test_packaged_extractors_of_a_run_compute_the_features(
    extractor: str, network: keras.Model, origin: Origin, tmp_path: pathlib.Path
) -> None:
    config = dataclasses.replace(origin.config, evaluation=EvaluationConfig(extractor=extractor))
    write(
        network,
        dataclasses.replace(origin, config=config),
        make_options(tflite_precisions=("float32",), parity_samples=17),
        tmp_path / "tflite",
    )
    found = read_report(tmp_path / "tflite")["float32"]
    assert extractor in found["features"] and found["num_samples"] == 17
    assert abs(found["frechet_distance"]) < 1e-2


@pytest.mark.parametrize("error", [UserError("converter"), RuntimeError("converter")])
def test_an_error_leaves_the_old_directory(
    error: Exception, network: keras.Model, origin: Origin, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def convert(*given: Any) -> Any:
        yield "float32", b"half"
        raise error

    path = tmp_path / "tflite"
    path.mkdir()
    (path / "older").write_text("older")
    monkeypatch.setattr(tflite_files, "convert_generator", convert)
    monkeypatch.setattr(tflite_files, "TFLiteGenerator", lambda model: lambda latents, labels: np.zeros((2, 32, 32, 1)))
    with pytest.raises(type(error), match="converter"):
        write(network, origin, make_options(), path)
    assert list_files(tmp_path) == ["tflite", "tflite/older"]
