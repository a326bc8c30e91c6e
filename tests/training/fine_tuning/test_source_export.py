"""Tests of runs that start with the weights of an export."""

import json
import logging
import pathlib
import shutil
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from sagan_tf.errors import UserError
from sagan_tf.exporting.export import export
from sagan_tf.exporting.options import ExportOptions
from sagan_tf.keras_backend import iterate_layers, keras
from sagan_tf.layers import BatchNormalization, SpectralNormalization
from sagan_tf.runs.checkpoints import Checkpoints
from sagan_tf.runs.run_directory import RunDirectory
from sagan_tf.training.fine_tuning.initialization import initialize_state
from sagan_tf.training.fine_tuning.origin import record_origin
from sagan_tf.training.fine_tuning.source_export import open_source_export
from sagan_tf.training.fine_tuning.standing_statistics import change_statistics
from sagan_tf.training.state import TrainState, create_state
from sagan_tf.training.train import train
from tests.training.fine_tuning.trained_run import CLASS_NAMES, fine_tune_config, write_run
from tests.training.tiny import PLAIN_NETWORKS, make_state, one_device, read_all_values, run_config, two_replicas

SAGAN = {"architecture": "sagan", "attention_resolutions": (16,)}
NETWORKS: dict[str, dict[str, Any]] = {
    "convolutional": PLAIN_NETWORKS | {"latents_to_every_block": True, "latent_dim": 8},
    "residual": SAGAN,
    "latents to every block": SAGAN | {"latents_to_every_block": True, "latent_dim": 8},
    "wide": SAGAN | {"latents_to_every_block": True, "latent_dim": 8, "base_channels": 48},
    "without spectral normalization": SAGAN | {"generator_spectral_norm": False},
}


def write_export(place: pathlib.Path, resampling: str = "auto", **networks: Any) -> tuple[TrainState, pathlib.Path]:
    """Export both networks of a run with random weights; return its state and the directory of the SavedModel."""
    state = write_run(place / "run", **networks)
    for network in (state.generator_ema, state.discriminator):
        _converge(network)
    for variable in state.generator_ema.variables:
        if variable.path in ("block_1/normalization_1/gain", "block_1/normalization_1/bias"):
            variable.assign(np.ones(variable.shape))  # equal weights, which an export stores once
        elif variable.name == "bias" and variable.path.startswith("block_3/convolution"):
            variable.assign(variable + 3.0)  # features whose mean is not near 0
    Checkpoints(place / "run" / "checkpoints", state, keep=3).save()
    options = ExportOptions(run_dir=str(place / "run"), discriminator=True, resampling=resampling)
    return state, export(options)["saved_model"]


def _converge(network: keras.Model) -> None:
    """Assign the left singular vectors, which a trained network has except for a small difference."""
    for layer in iterate_layers(network):
        if isinstance(layer, SpectralNormalization):
            kernel, values = layer.layer.weights[0], layer.layer.weights[0].numpy()
            kernel.assign(values / np.linalg.norm(values))
            layer.assign_unit_sigma()
            kernel.assign(values)


def start(config, class_names=CLASS_NAMES, strategy=None):
    strategy = strategy or one_device()
    with strategy.scope():
        state = create_state(config)
    return state, initialize_state(config, class_names, state, strategy)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A directory with the export of a run, `4`, and damaged copies of it; only `4` has a discriminator."""
    place = tmp_path_factory.mktemp("place")
    _, path = write_export(place)
    card = json.loads((path / "model_card.json").read_text())
    options = card["configuration"]
    changes = {
        "no_options": {"configuration": None},
        "list_options": {"configuration": []},
        "other_options": {"configuration": options | {"base_channels": 3}},
        "without_classes": {"configuration": options | {"num_classes": 0}},
        "more_classes": {"num_classes": 4, "class_names": []},
        "signatures": {"signatures": []},
        "no_signature": {"signatures": {"serving_default": 1}},
        "inputs": {"signatures": {"serving_default": {"inputs": 1}}},
        "text_step": {"step": "x"},
    }
    for name in ("no_card", "tflite", *changes):
        shutil.copytree(path, place / name)
    (place / "no_card" / "model_card.json").unlink()
    (place / "tflite" / "saved_model.pb").unlink()
    for name, changed in changes.items():
        (place / name / "model_card.json").write_text(json.dumps(card | changed))
    for name in ("4", "discriminator"):
        (path.parent / name).rename(place / name)
    shutil.copytree(place / "4", place / "export")
    return place


@pytest.mark.parametrize(
    ("name", "resampling"),
    [
        ("convolutional", "auto"),
        *(
            pytest.param(name, resampling, marks=pytest.mark.slow)
            for name, resampling in (
                ("residual", "strided"),
                ("residual", "plain"),
                ("latents to every block", "auto"),
                ("wide", "auto"),
                ("without spectral normalization", "auto"),
            )
        ),
    ],
)
def test_a_run_starts_with_the_images_and_logits_of_the_export(name, resampling, tmp_path):
    source, path = write_export(tmp_path, resampling=resampling, **NETWORKS[name])
    config = fine_tune_config(path, class_map=("cat:fox",), num_classes=3, freeze_discriminator=1, **NETWORKS[name])
    state, origin = start(config, ("dog", "fox", "bird"), two_replicas())
    latents = np.random.default_rng(0).normal(size=(3, config.model.latent_dim)).astype(np.float32)
    saved = tf.saved_model.load(str(path))
    expected = saved.signatures["serving_default"](latents=tf.constant(latents), labels=tf.constant([2, 1, 0]))[
        "images"
    ]
    assert np.ptp(expected) > 0.01
    for network in (state.generator, state.generator_ema):
        images = network([latents, np.array([0, 1, 2])], training=False)
        np.testing.assert_allclose(images, expected, atol=2e-5)
    images = np.random.default_rng(1).uniform(-1.0, 1.0, [3, *expected.shape[1:]]).astype(np.float32)
    logits = state.discriminator([images, np.array([0, 1, 2])], training=False)
    expected = source.discriminator([images, np.array([2, 1, 0])], training=False)
    np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-4)
    for variable, old in zip(state.generator.variables, source.generator_ema.variables, strict=True):
        if variable.name == "moving_variance" and variable.path not in origin.computed["generator"]:
            np.testing.assert_allclose(variable, old, rtol=2e-6)
    assert not any(transfer.initialized for transfer in origin.transfers.values())
    assert origin.kind == "export" and origin.step == 4 and not origin.absent


def test_sigma_is_that_of_a_singular_value_decomposition(place):
    state, _ = start(fine_tune_config(place / "export"))
    layers = [layer for layer in iterate_layers(state.generator) if isinstance(layer, SpectralNormalization)]
    for layer in layers:
        kernel = layer.layer.kernel.numpy()
        kernel = kernel.swapaxes(2, 3) if isinstance(layer.layer, keras.layers.Conv2DTranspose) else kernel
        sigma = np.linalg.svd(kernel.reshape(-1, kernel.shape[-1]), compute_uv=False)[0]
        np.testing.assert_allclose([sigma, layer.sigma()], 1.0, rtol=1e-5)
    assert len(layers) == 5


def test_images_in_training_are_those_at_inference(place):
    """Moving statistics are those of the generator's images, so statistics of a batch give almost the same images."""
    state, origin = start(fine_tune_config(place / "export"))
    random = np.random.default_rng(3)
    latents, labels = random.normal(size=(400, 5)).astype(np.float32), random.integers(3, size=400)
    inference = state.generator([latents, labels], training=False).numpy()
    with keras.StatelessScope():
        training = state.generator([latents, labels], training=True).numpy()
    assert np.abs(inference - training).mean() < 0.1 * np.std(inference, axis=0).mean()
    last = keras.Model(state.generator.inputs, state.generator.get_layer("normalization").input)
    values = last([latents, labels], training=False).numpy()
    moving = state.generator.get_layer("normalization")
    np.testing.assert_allclose(moving.moving_variance, values.var((0, 1, 2)), rtol=0.2)
    error = np.abs(moving.moving_mean - values.mean((0, 1, 2)))
    assert (error < 0.1 * values.std((0, 1, 2))).all()
    assert any(path.endswith("moving_mean") for path in origin.computed["generator"])


def test_statistics_change_without_a_change_of_the_outputs():
    random = np.random.default_rng(0)
    layer = BatchNormalization()
    inputs = random.normal(1.0, 2.0, [2, 4, 4, 3]).astype(np.float32)
    layer(inputs)
    for variable, mean in zip(layer.variables, (1.0, 2.0, 3.0, 4.0), strict=True):
        variable.assign(random.uniform(0.5, 1.5, 3) * mean)
    before = layer(inputs).numpy()
    change_statistics(layer, np.array([0.0, -1.0, 2.0]), np.array([0.0, 9.0, 0.1]))
    np.testing.assert_allclose(layer(inputs), before, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(layer.moving_mean, [0.0, -1.0, 2.0])


def test_an_export_without_a_discriminator_is_recorded(place, tmp_path, caplog):
    config = fine_tune_config(place / "export", ema_start_step=9, num_classes=2)
    caplog.set_level(logging.INFO, logger="sagan_tf")
    state, origin = start(config, ("cat", "fox"))
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert sum("discriminator" in warning for warning in warnings) == len(warnings) == 1
    values, fresh = read_all_values(state), read_all_values(make_state(config, one_device()))
    names = [name for name in values if name.startswith("discriminator ")]
    assert names and all(np.array_equal(values[name], fresh[name]) for name in names)
    directory = RunDirectory(tmp_path / "run")
    directory.create()
    record_origin(origin, directory)
    record = json.loads(directory.initialization.read_text())
    assert (record["kind"], record["path"], record["step"]) == ("export", str(place / "export"), 4)
    assert {name: row["source"] for name, row in record["classes"].items()} == {"cat": "cat", "fox": None}
    generator, discriminator = record["networks"]["generator"], record["networks"]["discriminator"]
    assert not discriminator["copied"] and len(discriminator["initialized"]) == len(names)
    assert {path.rpartition("/")[2] for path in generator["computed"]} == {"u", "moving_mean", "moving_variance"}
    assert not set(generator["computed"]) & set(generator["copied"]) and not generator["initialized"]
    assert "discriminator 0" not in caplog.text and "largest difference" in caplog.text


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"init_from": "no_card"}, "init_from.*model_card.json.*no_card"),
        ({"init_from": "no_options"}, "init_from.*no_options.*configuration"),
        ({"init_from": "other_options"}, "init_from.*other_options.*shape"),
        ({"init_from": "list_options"}, "init_from.*list_options.*configuration"),
        ({"init_from": "without_classes"}, "init_from.*without_classes.*num_classes"),
        ({"init_from": "more_classes"}, "init_from.*more_classes.*num_classes.*4"),
        ({"init_from": "signatures"}, "init_from.*model_card.*signatures"),
        ({"init_from": "no_signature"}, "init_from.*no_signature.*serving_default"),
        ({"init_from": "inputs"}, "init_from.*inputs.*serving_default"),
        ({"init_from": "text_step"}, "init_from.*text_step.*step"),
        ({"init_from": "tflite"}, "init_from.*tflite.*TFLite"),
        ({"base_channels": 3, "latent_dim": 4}, "init_from.*kernel"),
        ({"freeze_discriminator": 1}, "freeze_discriminator.*export"),
        ({"class_map": ("cat:Bagg",)}, "class_map.*Bagg.*Bag"),
    ],
)
def test_invalid_exports_are_refused_and_nothing_is_written(options, named, place, monkeypatch):
    monkeypatch.chdir(place)
    config = run_config(pathlib.Path("new"), 1, **PLAIN_NETWORKS | {"init_from": "export"} | options)
    with pytest.raises(UserError, match=f"^{named}") as error:
        train(config)
    assert "\n" not in str(error.value) and not (place / "new").exists()


def test_an_exported_discriminator_is_not_a_source(place):
    with pytest.raises(UserError, match="^init_from.*exported discriminator"):
        open_source_export(str(place / "discriminator" / "4"))


@pytest.mark.parametrize(
    ("change", "options", "different"),
    [
        ({"run": "other"}, {}, "run"),
        ({"step": 2}, {}, "step"),
        ({}, {"discriminator_base_channels": 3}, "discriminator_base_channels"),
        ({}, {"num_steps": 7}, None),
    ],
)
def test_a_discriminator_of_another_run_is_not_taken(change, options, different, place, caplog):
    path = place / "discriminator" / "4" / "model_card.json"
    text = path.read_text()
    card = json.loads(text)
    path.write_text(json.dumps(card | change | {"configuration": card["configuration"] | options}))
    try:
        source = open_source_export(str(place / "4"))
    finally:
        path.write_text(text)
    reasons = [message for message in caplog.messages if "differs" in message]
    assert ("discriminator" in source.networks) == (different is None) and len(reasons) == bool(different)
    assert all(str(path.parent) in reason and f"({different} " in reason for reason in reasons)


def test_a_discriminator_without_a_card_is_named(place, tmp_path):
    for name in ("4", "discriminator"):
        shutil.copytree(place / name, tmp_path / name)
    directory = tmp_path / "discriminator" / "4"
    (directory / "model_card.json").unlink()
    with pytest.raises(UserError, match=f"^init_from.*model_card.json.*{directory}") as error:
        open_source_export(str(tmp_path / "4"))
    assert str(tmp_path / "4") not in str(error.value)
