"""The command `python -m sagan_tf.export`: exports of a run, and errors that give one line and write nothing."""

import json
import logging
import pathlib
import re
import shutil
import sys
from typing import Any
from unittest import mock

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from sagan_tf.errors import UserError
from sagan_tf.export import run as run_export
from sagan_tf.exporting import export, saved_model
from sagan_tf.exporting.tflite import TFLiteGenerator
from sagan_tf.generation.latents import draw_latents_from_seeds
from sagan_tf.networks import build_discriminator, build_generator
from sagan_tf.runs.checkpoints import Checkpoints
from sagan_tf.sample import run as run_sample
from tests.exporting.small_export import NAMES, list_files, save_run
from tests.training.tiny import make_state, one_device, tiny_config

LABELS = np.array([0, 1, 2], np.int32)
TFLITE = ["--formats=tflite", "--tflite_precisions=float32", "--parity_samples=2"]


@pytest.fixture(autouse=True)
def console():
    """Remove the log handler of an earlier test, which writes to the standard output of that test."""
    logging.getLogger("sagan_tf").handlers = []


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory):
    return save_run(tmp_path_factory.mktemp("runs") / "boots")


@pytest.fixture(scope="module")
def exports(run_dir, tmp_path_factory):
    """Export everything, with the EMA generator."""
    path = tmp_path_factory.mktemp("exports")
    flags = ["--formats=saved_model,tflite", *TFLITE[1:], "--discriminator", f"--output={path}"]
    assert run_export([f"--run_dir={run_dir}", *flags]) == 0
    return path


def read_error(capsys: pytest.CaptureFixture[str], *flags: str) -> str:
    capsys.readouterr()
    assert run_export(flags) == 2
    printed = capsys.readouterr().err.splitlines()
    (line,) = [line for line in printed if not line.startswith("usage: ")]
    assert line.startswith("sagan_tf.export: error: ") and "Traceback" not in "".join(printed)
    return line.removeprefix("sagan_tf.export: error: ")


def load_network(run_dir: pathlib.Path, part: str) -> Any:
    """Load a network of a checkpoint by its name in the training state."""
    network = (build_discriminator if part == "discriminator" else build_generator)(tiny_config().model)
    state = tf.train.Checkpoint(state=tf.train.Checkpoint(**{part: network}))
    state.restore(str(run_dir / "checkpoints" / "step-2")).expect_partial().assert_existing_objects_matched()
    return network


def generate_images(directory: pathlib.Path) -> np.ndarray:
    """Return float32 [3, 32, 32, 1] of the first seeds from the signature `serving_default`."""
    model = tf.saved_model.load(str(directory))
    inputs = {"latents": draw_latents_from_seeds(np.arange(3), 5), "labels": tf.constant(LABELS)}
    return model.signatures["serving_default"](**inputs)["images"].numpy()


def compute_expected_images(network: Any) -> np.ndarray:
    return network([draw_latents_from_seeds(np.arange(3), 5), tf.constant(LABELS)], training=False).numpy()


def read_card(directory: pathlib.Path) -> dict[str, Any]:
    return json.loads((directory / "model_card.json").read_text())


def test_exports_compute_what_the_networks_of_the_run_compute(run_dir, exports):
    expected = compute_expected_images(load_network(run_dir, "generator_ema"))
    assert np.ptp(expected) > 0.3
    np.testing.assert_allclose(generate_images(exports / "2"), expected, atol=1e-4)
    lite = TFLiteGenerator((exports / "tflite" / "generator_float32.tflite").read_bytes())
    np.testing.assert_allclose(lite(draw_latents_from_seeds(np.arange(3), 5).numpy(), LABELS), expected, atol=1e-4)
    discriminator = tf.saved_model.load(str(exports / "discriminator" / "2"))
    found = discriminator.signatures["serving_default"](images=tf.constant(expected), labels=tf.constant(LABELS))[
        "logits"
    ]
    wanted = load_network(run_dir, "discriminator")([tf.constant(expected), tf.constant(LABELS)], training=False)
    np.testing.assert_allclose(found, wanted, atol=1e-4 * max(1.0, np.abs(wanted).max()))


def test_the_exports_and_their_cards(exports):
    tflite = ["generator_float32.tflite", "model_card.json", "parity.json", "parity.png"]
    assert [name for name in list_files(exports) if name.startswith("tflite/")] == [f"tflite/{name}" for name in tflite]
    for name in ("2", "tflite"):
        card = read_card(exports / name)
        assert (card["run"], card["step"], card["class_names"]) == ("boots", 2, list(NAMES))
        assert card["metrics"]["fcd10k"] == 1.5 and card["trained_with"] == {"tensorflow": "2.21.0"}
        assert card["data"]["dataset"] == "fashion_mnist_10k"
    assert set(read_card(exports / "2")["signatures"]) == {"serving_default", "generate", "attention"}
    assert set(read_card(exports / "tflite")["signatures"]) == {"serving_default"}
    card = read_card(exports / "discriminator" / "2")
    assert card["class_names"] == list(NAMES) and "latent_dim" not in card and "discriminator" in card["model"]
    assert not card["generator_weights"] and card["metrics"] is None


def test_live_weights_and_resampling(run_dir, exports, tmp_path, monkeypatch):
    """An export replaces an older one in the run directory.

    The default form of convolutions stores sums of kernel taps, which are more numbers. An export computes on the CPU:
    on a GPU the same command would choose other forms, and write another graph.
    """
    hidden: list[tuple[Any, str]] = []
    monkeypatch.setattr(tf.config, "set_visible_devices", lambda *arguments: hidden.append(arguments))
    copy = shutil.copytree(run_dir, tmp_path / "boots")
    directory = copy / "exports" / "2"
    directory.mkdir(parents=True)
    (directory / "model_card.json").write_text("older")
    flags = ["--generator_weights=live", "--checkpoint=2", "--data_license=CC0", "--resampling=plain", "--overwrite"]
    assert run_export([f"--run_dir={copy}", *flags]) == 0
    assert ([], "GPU") in hidden and [path.name for path in directory.parent.iterdir()] == ["2"]
    expected = compute_expected_images(load_network(run_dir, "generator"))
    np.testing.assert_allclose(generate_images(directory), expected, atol=1e-4)
    card = read_card(directory)
    assert card["generator_weights"] == "live" and card["metrics"]["fcd10k"] == 7.0
    assert card["data"]["license"] == "CC0" and card["configuration"]["resampling"] == "auto"  # that of the run
    sizes = [sum(path.stat().st_size for path in (at / "variables").iterdir()) for at in (directory, exports / "2")]
    assert sizes[0] < sizes[1]


def test_an_export_generates_the_images_of_its_run(run_dir, exports, tmp_path):
    flags = ["--mode=images", "--num_samples=6", "--truncation=0.9"]
    assert run_sample([f"--run_dir={run_dir}", f"--output={tmp_path / 'run'}", *flags]) == 0
    assert run_sample([f"--saved_model={exports / '2'}", f"--output={tmp_path / 'export'}", *flags]) == 0
    names = [name for name in list_files(tmp_path / "run") if name.endswith(".png")]
    assert len(names) == 6
    for name in names:
        with Image.open(tmp_path / "run" / name) as run, Image.open(tmp_path / "export" / name) as exported:
            first, second = np.asarray(run).astype(int), np.asarray(exported).astype(int)
        assert np.ptp(first) > 20 and np.abs(first - second).max() <= 1
    labels = ["--labels=banana", "--columns=1"]  # names come from the card
    assert run_sample([f"--saved_model={exports / '2'}", f"--output={tmp_path / 'a.png'}", *labels]) == 0


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--formats=onnx"], "formats: .*'onnx'"),
        (["--formats="], "formats: .*none"),
        (["--run_dir="], "run_dir: "),
        (["--tflite_precisions=int8"], "tflite_precisions: "),
        ([*TFLITE, "--tflite_precisions=int4"], "tflite_precisions: .*'int4'"),
        ([*TFLITE, "--parity_samples=1"], "parity_samples: .*received 1$"),
        ([*TFLITE, "--parity_samples=10001"], "parity_samples: .*received 10001$"),
        ([*TFLITE, "--largest_mean_error=0"], "largest_mean_error: .*received 0.0$"),
        ([*TFLITE, "--largest_mean_error=nan"], "--largest_mean_error=nan: "),
        (["--checkpoint=-1"], "checkpoint: .*'-1'"),
        (["--checkpoint=9"], "checkpoint: .*9.*{run}/checkpoints"),
        (["--checkpoint=best"], "checkpoint: .*best.*{run}/checkpoints"),
        (["--generator_weights=old"], "--generator_weights=old: .*ema, live"),
        (["--output={directory}/file"], "output: .*{directory}/file"),
        (["--output={directory}/file/below"], "output: "),
        (["--output={directory}/directory", "--overwrite"], "output: .*{directory}/directory/2"),
        (["--output={directory}/" + 300 * "a"], "output: "),
    ],
)
def test_errors_in_flags_write_nothing(flags, message, run_dir, tmp_path, capsys):
    (tmp_path / "directory").mkdir()
    for name in ("file", "directory/2"):
        (tmp_path / name).write_text("mine")
    before = list_files(tmp_path), list_files(run_dir)
    given = [flag.replace("{directory}", str(tmp_path)) for flag in flags]
    found = read_error(capsys, f"--run_dir={run_dir}", f"--output={tmp_path / 'out'}", *given)
    assert re.match(message.format(directory=tmp_path, run=run_dir), found), found
    assert (list_files(tmp_path), list_files(run_dir)) == before
    assert [(tmp_path / name).read_text() for name in ("file", "directory/2")] == ["mine", "mine"]


@pytest.mark.parametrize("existing", ["2", "tflite", "discriminator/2"])
def test_an_existing_export_is_kept(existing, run_dir, tmp_path, capsys):
    """The error comes before any other export is written."""
    (tmp_path / existing).mkdir(parents=True)
    before = list_files(tmp_path)
    flags = ["--formats=saved_model,tflite", "--discriminator", f"--output={tmp_path}"]
    found = read_error(capsys, f"--run_dir={run_dir}", *flags)
    assert found.startswith("output: ") and str(tmp_path / existing) in found and "--overwrite" in found
    assert list_files(tmp_path) == before


def test_a_discriminator_whose_logits_depend_on_the_batch_is_refused(tmp_path, capsys):
    run_dir = save_run(tmp_path / "run", discriminator_minibatch_statistics=2)
    found = read_error(capsys, f"--run_dir={run_dir}", "--discriminator", f"--output={tmp_path / 'out'}")
    assert found.startswith("discriminator: ") and "--discriminator_minibatch_statistics" in found
    assert not (tmp_path / "out").exists() or list_files(tmp_path / "out") == []


@pytest.mark.parametrize(
    ("module", "function"),
    [
        (export, "load_discriminator"),
        (saved_model, "write_card"),
        (export, "measure_saved_model_error"),
        (export, "write_tflite"),
    ],
)
def test_an_error_while_an_export_is_made_leaves_nothing(module, function, run_dir, tmp_path, monkeypatch):
    """TFLite comes last; the SavedModel, which came first, is removed as well."""
    monkeypatch.setattr(module, function, mock.Mock(side_effect=UserError("model: broken")))
    flags = ["--formats=saved_model,tflite", "--discriminator", f"--output={tmp_path / 'out'}"]
    assert run_export([f"--run_dir={run_dir}", *flags]) == 2
    assert list_files(tmp_path) == []


def test_tflite_needs_its_interpreter(run_dir, tmp_path, capsys, monkeypatch):
    missing: Any = None
    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", missing)
    found = read_error(capsys, f"--run_dir={run_dir}", *TFLITE, f"--output={tmp_path / 'out'}")
    assert found.startswith("formats: ") and "ai-edge-litert" in found
    assert list_files(tmp_path) == []


def test_weights_with_nan_are_not_exported(tmp_path, capsys):
    run_dir, state = save_run(tmp_path / "diverged"), make_state(tiny_config(), one_device())
    state.step.assign(2)
    state.generator_ema.trainable_variables[0].assign(np.nan * state.generator_ema.trainable_variables[0])
    Checkpoints(run_dir / "checkpoints", state, 1).save()
    for formats in ("saved_model", "tflite"):
        message = read_error(capsys, f"--run_dir={run_dir}", f"--formats={formats}")
        assert message.startswith("checkpoint: ") and "NaN" in message
    assert not (run_dir / "exports").exists()
