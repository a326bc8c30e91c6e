"""Tests that runs imported from checkpoints of TF-GAN's example generate the same images as TF-GAN.

TF-GAN writes the checkpoints in a process of its own (`importing/tfgan_checkpoints.py`), including the one with the
names of the official code, which itself is not run.
"""

from __future__ import annotations

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from sagan_tf import evaluate, export, sample
from sagan_tf.cli.flags import parse_config
from sagan_tf.config import Config
from sagan_tf.exporting.tflite import TFLiteGenerator
from sagan_tf.generation.generators import load_generator_from_run
from sagan_tf.runs.checkpoints import restore_latest
from sagan_tf.runs.load_networks import load_discriminator
from sagan_tf.runs.run_directory import RunDirectory
from sagan_tf.training.state import create_state
from tests.features.fake_extractors import save_extractor
from tools.import_tfgan_checkpoint import main

ROOT = pathlib.Path(__file__).parents[2]
TOLERANCE = 1e-4
Arrays = dict[str, np.ndarray]
Imported = tuple[pathlib.Path, Arrays, str]


def read_config(path: pathlib.Path) -> Config:
    return parse_config([f"--flagfile={path}"])


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Return the directory of three checkpoints and of TF-GAN's images."""
    directory = tmp_path_factory.mktemp("checkpoints")
    environment = os.environ | {"TF_USE_LEGACY_KERAS": "1", "CUDA_VISIBLE_DEVICES": "-1"}
    command = [sys.executable, "-m", "tests.tools.importing.tfgan_checkpoints", f"--output={directory}"]
    process = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)
    assert process.returncode == 0, process.stderr
    return directory


@pytest.fixture(scope="module")
def imported(
    checkpoints: pathlib.Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str, pytest.CaptureFixture[str]], Imported]:
    """Return a function that imports each checkpoint once.

    It returns the directory of the run, the arrays of TF-GAN and the output of the tool.
    """
    done: dict[str, Imported] = {}

    def import_once(name: str, capsys: pytest.CaptureFixture[str]) -> Imported:
        if name not in done:
            path = tmp_path_factory.mktemp("runs") / "sub" / name
            main([f"--checkpoint={checkpoints / name}", f"--run_dir={path}"])
            with np.load(checkpoints / f"{name.removesuffix('-2')}.npz") as arrays:
                done[name] = path, dict(arrays), capsys.readouterr().out
        return done[name]

    return import_once


CHECKPOINTS = pytest.mark.parametrize("name", ["trained-2", "plain", "official"])


@CHECKPOINTS
@pytest.mark.parametrize("weights", ["live", "ema"])
def test_images_equal_the_originals(
    imported: Callable[..., Imported], capsys: pytest.CaptureFixture[str], name: str, weights: str
) -> None:
    path, arrays, _ = imported(name, capsys)
    generator = load_generator_from_run(str(path), weights=weights)
    images = generator.function(arrays["latents"], arrays["labels"]).numpy()
    expected = arrays.get("averaged_images", arrays["images"]) if weights == "ema" else arrays["images"]
    np.testing.assert_allclose(images, expected, rtol=0.0, atol=TOLERANCE)
    assert images.std() > 0.3 and np.abs(images).max() < 1.0
    if "averaged_images" in arrays:
        assert np.abs(arrays["averaged_images"] - arrays["images"]).max() > 0.1


@pytest.mark.parametrize("name", ["plain", "official"])
def test_logits_equal_the_originals(
    imported: Callable[..., Imported], capsys: pytest.CaptureFixture[str], name: str
) -> None:
    path, arrays, _ = imported(name, capsys)
    discriminator = load_discriminator(read_config(path / "flags.cfg"), path / "checkpoints")
    logits = discriminator([arrays["images"], arrays["labels"]]).numpy()
    np.testing.assert_allclose(logits, arrays["logits"], rtol=TOLERANCE)


def test_the_summary_lists_imported_and_unused_variables(
    imported: Callable[..., Imported], capsys: pytest.CaptureFixture[str]
) -> None:
    """Only moments that a decay of 0 makes useless, and powers of decays, are unused."""
    for name, used, network in [
        ("trained-2", "334 of 441", "5 classes, base_channels 4, latent_dim 128"),
        ("plain", "169 of 169", "3 classes, base_channels 8, latent_dim 16"),
        ("official", "170 of 170", "4 classes, base_channels 4, latent_dim 128"),
    ]:
        path, _, printed = imported(name, capsys)
        assert f"took {used} variables" in printed and f"128 px, 3 channels, {network}" in printed
        assert printed.endswith(f"run in {path}\n")
    _, _, printed = imported("trained-2", capsys)
    assert re.findall(r"left out: (\d+ .*?) ?[,(]", printed) == [
        "103 first moments of Adam",
        "4 powers of Adam's decays",
    ]


def test_the_run_is_complete(imported: Callable[..., Imported], capsys: pytest.CaptureFixture[str]) -> None:
    """The run has the complete state of training, and can be sampled by the command."""
    path, _, _ = imported("trained-2", capsys)
    config = read_config(path / "flags.cfg")
    assert config.training.run_dir == str(path) and config.training.ema_decay == 0.999
    state = create_state(config)
    assert restore_latest(state, path / "checkpoints") == 2
    assert int(state.generator_optimizer.iterations) == int(state.discriminator_optimizer.iterations) == 2
    assert np.all(state.generator_optimizer._sums_of_squares[0].numpy() > 0.0)
    assert sorted(file.name for file in path.iterdir()) == ["checkpoints", "flags.cfg", "versions.json"]
    assert sorted(file.name for file in path.parent.iterdir()) == ["trained-2"]  # No temporary directory is left.
    assert sample.run([f"--run_dir={path}", "--mode=classes", "--labels=1,4", f"--output={path}.png"]) == 0
    with Image.open(f"{path}.png") as image:
        assert image.size > (256, 128)


def test_the_run_is_evaluated(
    imported: Callable[..., Imported], tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The training data are unknown, so `--reference` names images to compare with."""
    path, _, _ = imported("plain", capsys)
    save_extractor(tmp_path / "inception")
    rng, images = np.random.default_rng(0), tmp_path / "images"
    images.mkdir()
    for index in range(20):
        pixels = rng.integers(256, size=(128, 128, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(images / f"{index}.png")
    flags = [f"--run_dir={path}", f"--reference={images}", f"--reference_dir={tmp_path}", "--metrics=fid1k,is1k"]
    flags += [f"--inception_dir={tmp_path / 'inception'}", f"--output={tmp_path / 'found.json'}"]
    assert evaluate.run(flags) == 0
    found = json.loads((tmp_path / "found.json").read_text())
    assert found["step"] == 0 and np.isfinite([found["fid1k"], found["is1k"]]).all()


def test_the_run_is_exported(
    imported: Callable[..., Imported], tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, arrays, _ = imported("plain", capsys)
    flags = [f"--run_dir={path}", f"--output={tmp_path}", "--formats=saved_model,tflite", "--tflite_precisions=float32"]
    assert export.run([*flags, "--parity_samples=2"]) == 0
    served = tf.saved_model.load(str(tmp_path / "0")).signatures["serving_default"]
    inputs = {"latents": arrays["latents"], "labels": arrays["labels"]}
    found = served(**{name: tf.constant(value) for name, value in inputs.items()})["images"]
    np.testing.assert_allclose(found, arrays["images"], atol=TOLERANCE)
    lite = TFLiteGenerator((tmp_path / "tflite" / "generator_float32.tflite").read_bytes())
    np.testing.assert_allclose(lite(**inputs), arrays["images"], atol=TOLERANCE)


def test_flags_and_class_names(checkpoints: pathlib.Path, tmp_path: pathlib.Path) -> None:
    names = tmp_path / "names.txt"
    names.write_text("cat\ndog\nbird\n")
    run_dir, flagfile = tmp_path / "run [1]", tmp_path / "another_run.cfg"
    run_dir.mkdir()  # An empty directory is accepted.
    flagfile.write_text("--run_dir=elsewhere\n--ema_decay=0.5\n")
    main(
        [
            f"--checkpoint={checkpoints / 'plain'}",
            f"--run_dir={run_dir}",
            f"--class_names={names}",
            "--generator_only",
            "--dataset",
            "folder",
            "--spectral_norm_constraint=equal",
            f"--flagfile={flagfile}",
        ]
    )
    config = read_config(run_dir / "flags.cfg")
    assert (config.data.dataset, config.model.spectral_norm_constraint) == ("folder", "equal")
    assert (config.training.ema_decay, config.training.run_dir) == (0.5, str(run_dir))
    assert RunDirectory(run_dir).read_class_names(3) == ("cat", "dog", "bird")


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Return the error of the tool, which must be one line with exit status 2."""
    status = main(arguments)
    captured = capsys.readouterr()
    assert status == 2 and captured.out == "" and captured.err.count("\n") == 1
    return captured.err


def test_invalid_options_write_nothing(
    checkpoints: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plain, run_dir = f"--checkpoint={checkpoints / 'plain'}", f"--run_dir={tmp_path / 'a' / 'run'}"
    two = tmp_path / "two.txt"
    two.write_text("cat\ndog\n")
    for arguments, message in [
        ([f"--checkpoint={checkpoints}"], f"checkpoint: .*{checkpoints}: official, plain, trained-2"),
        ([f"{plain}.index"], r"checkpoint: .*plain\.index"),
        ([plain, "--basechannels=4"], "--basechannels.*--base_channels"),
        ([plain, "--base_channels=4"], "checkpoint: .* shapes"),
        ([plain, "--attention_resolutions=7"], "attention_resolutions: .*7"),
        ([plain, "--loss=huge"], "loss: .*huge"),
        ([plain, f"--class_names={two}"], "class_names: .* 3 names, received 2"),
        ([plain, f"--class_names={tmp_path / 'none'}"], "class_names: .*none"),
    ]:
        assert re.search(message, refused(capsys, *arguments, run_dir))
    assert sorted(file.name for file in tmp_path.iterdir()) == ["two.txt"]


def test_a_damaged_checkpoint_is_refused(
    checkpoints: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for suffix in ("index", "data-00000-of-00001"):
        shutil.copy(checkpoints / f"plain.{suffix}", tmp_path)
    data = tmp_path / "plain.data-00000-of-00001"
    data.write_bytes(data.read_bytes()[: 2**20])
    error = refused(capsys, f"--checkpoint={tmp_path / 'plain'}", f"--run_dir={tmp_path / 'run'}")
    assert "checkpoint: " in error and f"{tmp_path / 'plain'}" in error
    assert not (tmp_path / "run").exists()


def test_an_existing_run_is_not_changed(
    checkpoints: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "flags.cfg").write_text("--seed=1")
    for path in (tmp_path, tmp_path / "flags.cfg"):
        error = refused(capsys, f"--checkpoint={checkpoints / 'plain'}", f"--run_dir={path}")
        assert "run_dir: " in error and f"received {path}" in error
    assert (tmp_path / "flags.cfg").read_text() == "--seed=1" and len(list(tmp_path.iterdir())) == 1


def test_a_checkpoint_of_this_project_is_refused(
    imported: Callable[..., Imported], tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, _, _ = imported("plain", capsys)
    error = refused(capsys, f"--checkpoint={path / 'checkpoints' / 'step-0'}", f"--run_dir={tmp_path / 'run'}")
    assert "checkpoint: " in error and "TensorFlow 2" in error
