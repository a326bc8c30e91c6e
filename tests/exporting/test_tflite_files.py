"""The folder of TFLite models: what is kept, what is reported, and that it is whole or not there."""

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
from sagan_tf.exporting.atomic_directories import whole_folders
from sagan_tf.exporting.model_card import Origin
from sagan_tf.exporting.options import PRECISIONS, ExportOptions
from sagan_tf.exporting.tflite import LiteGenerator
from sagan_tf.exporting.tflite_files import write_tflite
from sagan_tf.features.extractors import PACKAGED_EXTRACTORS
from tests.exporting.small_export import export_config, files_below, inputs_for, make_generator, origin_of

GREY = {"image_channels": 1, "attention_resolutions": ()}


@pytest.fixture(scope="module")
def network() -> keras.Model:
    return make_generator(export_config(**GREY))


@pytest.fixture(scope="module")
def origin() -> Origin:
    return origin_of(export_config(**GREY))


@pytest.fixture(scope="module")
def folder(network: keras.Model, origin: Origin, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Of all precisions, over what was there before."""
    path = tmp_path_factory.mktemp("exports") / "tflite"
    path.mkdir()
    (path / "older").touch()
    write(network, origin, options_of(parity_samples=10), path)
    return path


def write(network: keras.Model, origin: Origin, options: ExportOptions, path: pathlib.Path) -> None:
    with whole_folders([path]) as (folder,):
        write_tflite(network, origin, options, folder)


def options_of(**options: Any) -> ExportOptions:
    return ExportOptions(run_dir="run", formats=("tflite",), **{"parity_samples": 2, **options})


def report_of(folder: pathlib.Path) -> dict[str, Any]:
    return json.loads((folder / "parity.json").read_text())


def test_a_model_of_every_precision(folder: pathlib.Path, network: keras.Model) -> None:
    models = [f"generator_{precision}.tflite" for precision in PRECISIONS]
    assert files_below(folder) == sorted([*models, "model_card.json", "parity.json", "parity.png"])
    inputs = inputs_for(export_config(**GREY))
    expected = network(list(inputs.values()), training=False)
    for name in models:
        found = LiteGenerator((folder / name).read_bytes())(**inputs)
        assert np.abs(found - expected).mean() < 0.05, name
    assert json.loads((folder / "model_card.json").read_text())["class_names"] == ["apple", "banana", "cherry"]


def test_the_parity_report(folder: pathlib.Path) -> None:
    report = report_of(folder)
    assert list(report) == list(PRECISIONS)
    for precision, found in report.items():
        assert found["num_samples"] == 10 and found["kept"] and found["features"] == "means of 4 x 4 parts of a picture"
        assert found["bytes"] == (folder / f"generator_{precision}.tflite").stat().st_size
        assert 0 <= found["mean_error"] <= found["max_error"] and abs(found["frechet_distance"]) < 0.05
    assert report["float32"]["max_error"] < 1e-4 < report["int8"]["max_error"]


def test_the_picture_of_the_comparison(folder: pathlib.Path) -> None:
    """Rows of eight pictures, the generator's first; those of float32 are the same."""
    with Image.open(folder / "parity.png") as picture:
        pixels = np.asarray(picture).astype(int)
    side = 64  # 32 px are enlarged twice; a gap of 2 between
    rows = [pixels[-2 - (5 - row) * (side + 2) + 2 :][:side, -8 * (side + 2) :] for row in range(5)]
    assert np.abs(rows[0] - rows[1]).max() <= 1 and np.ptp(rows[0]) > 50
    assert 0 < np.abs(rows[0] - rows[4]).mean() < 8


def test_an_int8_model_that_is_too_far_away_is_left_out(
    network: keras.Model, origin: Origin, tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture
) -> None:
    options = options_of(tflite_precisions=("int8", "float32"), largest_mean_error=1e-5)
    logger = logging.getLogger("sagan_tf")
    logger.addHandler(caplog.handler)
    try:
        with caplog.at_level(logging.INFO, "sagan_tf"):
            write(network, origin, options, tmp_path / "tflite")
    finally:
        logger.removeHandler(caplog.handler)
    assert files_below(tmp_path / "tflite") == [
        "generator_float32.tflite",
        "model_card.json",
        "parity.json",
        "parity.png",
    ]
    assert {precision: one["kept"] for precision, one in report_of(tmp_path / "tflite").items()} == {
        "int8": False,
        "float32": True,
    }
    assert "left out: --largest_mean_error" in caplog.text


def test_no_model_at_all(network: keras.Model, origin: Origin, tmp_path: pathlib.Path) -> None:
    with pytest.raises(UserError, match="^largest_mean_error: expected one that a model keeps, received 1e-09"):
        write(network, origin, options_of(tflite_precisions=("int8",), largest_mean_error=1e-9), tmp_path / "tflite")
    assert files_below(tmp_path) == []


@pytest.mark.parametrize("extractor", PACKAGED_EXTRACTORS)
def test_features_of_the_runs_own_extractor(
    extractor: str, network: keras.Model, origin: Origin, tmp_path: pathlib.Path
) -> None:
    config = dataclasses.replace(origin.config, evaluation=EvaluationConfig(extractor=extractor))
    write(
        network,
        dataclasses.replace(origin, config=config),
        options_of(tflite_precisions=("float32",), parity_samples=17),
        tmp_path / "tflite",
    )
    found = report_of(tmp_path / "tflite")["float32"]
    assert extractor in found["features"] and found["num_samples"] == 17
    assert abs(found["frechet_distance"]) < 1e-2


@pytest.mark.parametrize("error", [UserError("of the converter"), RuntimeError("of the converter")])
def test_an_error_leaves_what_was_there(
    error: Exception, network: keras.Model, origin: Origin, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def convert(*given: Any) -> Any:
        yield "float32", b"half"
        raise error

    path = tmp_path / "tflite"
    path.mkdir()
    (path / "older").write_text("older")
    monkeypatch.setattr(tflite_files, "convert", convert)
    monkeypatch.setattr(tflite_files, "LiteGenerator", lambda model: lambda latents, labels: np.zeros((2, 32, 32, 1)))
    with pytest.raises(type(error), match="of the converter"):
        write(network, origin, options_of(), path)
    assert files_below(tmp_path) == ["tflite", "tflite/older"]
