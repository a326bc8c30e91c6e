"""The directory of TFLite models: its models, its parity report, and errors that leave it unchanged."""

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
from sagan_tf.exporting.atomic_directories import replace_directories_atomically
from sagan_tf.exporting.model_card import Origin
from sagan_tf.exporting.options import PRECISIONS, ExportOptions
from sagan_tf.exporting.tflite import TFLiteGenerator
from sagan_tf.exporting.tflite_files import write_tflite
from tests.exporting.small_export import export_config, inputs_for, list_files, make_generator, make_origin

CONFIG = export_config(image_channels=1, attention_resolutions=())
ORIGIN = make_origin(CONFIG)


@pytest.fixture(scope="module")
def network():
    return make_generator(CONFIG)


@pytest.fixture(scope="module")
def directory(network, tmp_path_factory):
    """Write models of all precisions over an existing directory."""
    path = tmp_path_factory.mktemp("exports") / "tflite"
    path.mkdir()
    (path / "older").touch()
    write(network, make_options(parity_samples=10), path)
    return path


def write(network: keras.Model, options: ExportOptions, path: pathlib.Path, origin: Origin = ORIGIN) -> None:
    with replace_directories_atomically([path]) as (directory,):
        write_tflite(network, origin, options, directory)


def make_options(**options: Any) -> ExportOptions:
    return ExportOptions(run_dir="run", formats=("tflite",), **{"parity_samples": 2, **options})


def read_report(directory: pathlib.Path) -> dict[str, Any]:
    return json.loads((directory / "parity.json").read_text())


def test_a_model_of_every_precision(directory, network):
    models = [f"generator_{precision}.tflite" for precision in PRECISIONS]
    assert list_files(directory) == sorted([*models, "model_card.json", "parity.json", "parity.png"])
    inputs = inputs_for(CONFIG)
    found = TFLiteGenerator((directory / "generator_float32.tflite").read_bytes())(**inputs)
    np.testing.assert_allclose(found, network(list(inputs.values()), training=False), atol=1e-4)
    assert json.loads((directory / "model_card.json").read_text())["class_names"] == ["apple", "banana", "cherry"]


def test_the_parity_report(directory):
    report = read_report(directory)
    assert list(report) == list(PRECISIONS)
    for precision, found in report.items():
        assert found["num_samples"] == 10 and found["kept"] and "4 x 4" in found["features"]
        assert found["bytes"] == (directory / f"generator_{precision}.tflite").stat().st_size
        assert 0 <= found["mean_error"] <= found["max_error"] and abs(found["frechet_distance"]) < 0.05
    assert report["float32"]["max_error"] < 1e-4 < report["int8"]["max_error"]


def test_the_image_of_the_comparison(directory):
    """It has rows of eight images; the first is that of the generator, and that of float32 is the same."""
    with Image.open(directory / "parity.png") as image:
        pixels = np.asarray(image).astype(int)
    side = 64  # 32 px are enlarged twice; a gap of 2 between
    rows = [pixels[-2 - (5 - row) * (side + 2) + 2 :][:side, -8 * (side + 2) :] for row in range(5)]
    assert np.abs(rows[0] - rows[1]).max() <= 1 and np.ptp(rows[0]) > 50
    assert 0 < np.abs(rows[0] - rows[4]).mean() < 8


def test_a_model_above_the_largest_mean_error_is_left_out(network, tmp_path, caplog):
    logger = logging.getLogger("sagan_tf")
    logger.addHandler(caplog.handler)
    options = make_options(tflite_precisions=("int8", "float32"), largest_mean_error=1e-5)
    try:
        with caplog.at_level(logging.INFO, "sagan_tf"):
            write(network, options, tmp_path / "tflite")
    finally:
        logger.removeHandler(caplog.handler)
    assert [path.name for path in (tmp_path / "tflite").glob("*.tflite")] == ["generator_float32.tflite"]
    kept = {precision: entry["kept"] for precision, entry in read_report(tmp_path / "tflite").items()}
    assert kept == {"int8": False, "float32": True} and "--largest_mean_error" in caplog.text


def test_no_model_within_the_largest_mean_error_is_an_error(network, tmp_path):
    with pytest.raises(UserError, match="^largest_mean_error: .*1e-09.*int8"):
        write(network, make_options(tflite_precisions=("int8",), largest_mean_error=1e-9), tmp_path / "tflite")
    assert list_files(tmp_path) == []


def test_a_packaged_extractor_of_a_run_computes_the_features(network, tmp_path):
    config = dataclasses.replace(ORIGIN.config, evaluation=EvaluationConfig(extractor="fashion_mnist"))
    options = make_options(tflite_precisions=("float32",), parity_samples=17)
    write(network, options, tmp_path / "tflite", dataclasses.replace(ORIGIN, config=config))
    found = read_report(tmp_path / "tflite")["float32"]
    assert "fashion_mnist" in found["features"] and found["num_samples"] == 17
    assert abs(found["frechet_distance"]) < 1e-2
