"""Checkpoints of TF-GAN's example become runs whose pictures are the original's.

They are made by TF-GAN itself, in a process of its own (`importing/tfgan_checkpoints.py`, which says how far this holds
for those with the official code's names: that code itself was not run).
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
from sagan_tf.errors import UserError
from sagan_tf.exporting.tflite import LiteGenerator
from sagan_tf.generation.generators import generator_of_run
from sagan_tf.runs.checkpoints import load_discriminator, restore_latest
from sagan_tf.runs.run_directory import RunDirectory
from sagan_tf.training.state import create_state
from tests.features.fake_extractors import save_extractor
from tools.import_tfgan_checkpoint import find_checkpoint, main, read_class_names

ROOT = pathlib.Path(__file__).parents[2]
TOLERANCE = 1e-4

Arrays = dict[str, np.ndarray]
Imported = tuple[pathlib.Path, Arrays, str]


def read_config(path: pathlib.Path) -> Config:
    return parse_config([f"--flagfile={path}"])


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """The folder of three checkpoints and of what TF-GAN made of them."""
    folder = tmp_path_factory.mktemp("checkpoints")
    environment = os.environ | {"TF_USE_LEGACY_KERAS": "1", "CUDA_VISIBLE_DEVICES": "-1"}
    command = [sys.executable, "-m", "tests.tools.importing.tfgan_checkpoints", f"--output={folder}"]
    process = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)
    assert process.returncode == 0, process.stderr
    return folder


@pytest.fixture(scope="module")
def imported(
    checkpoints: pathlib.Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str, pytest.CaptureFixture[str]], Imported]:
    """Imports a checkpoint once: the run's folder, what TF-GAN made, and what the tool said."""
    done: dict[str, Imported] = {}

    def once(name: str, capsys: pytest.CaptureFixture[str]) -> Imported:
        if name not in done:
            path = tmp_path_factory.mktemp("runs") / "sub" / name
            main([f"--checkpoint={checkpoints / name}", f"--run_dir={path}"])
            with np.load(checkpoints / f"{name.removesuffix('-2')}.npz") as arrays:
                done[name] = path, dict(arrays), capsys.readouterr().out
        return done[name]

    return once


CHECKPOINTS = pytest.mark.parametrize("name", ["trained-2", "plain", "official"])


@CHECKPOINTS
@pytest.mark.parametrize("weights", ["live", "ema"])
def test_pictures_are_the_originals(
    imported: Callable[..., Imported], capsys: pytest.CaptureFixture[str], name: str, weights: str
) -> None:
    path, arrays, _ = imported(name, capsys)
    generator = generator_of_run(str(path), read_config, weights=weights)
    images = generator.function(arrays["latents"], arrays["labels"]).numpy()
    expected = arrays.get("averaged_images", arrays["images"]) if weights == "ema" else arrays["images"]
    np.testing.assert_allclose(images, expected, rtol=0.0, atol=TOLERANCE)
    assert images.std() > 0.3 and np.abs(images).max() < 1.0
    if "averaged_images" in arrays:
        assert np.abs(arrays["averaged_images"] - arrays["images"]).max() > 0.1


@pytest.mark.parametrize("name", ["plain", "official"])
def test_logits_are_the_originals(
    imported: Callable[..., Imported], capsys: pytest.CaptureFixture[str], name: str
) -> None:
    path, arrays, _ = imported(name, capsys)
    discriminator = load_discriminator(read_config(path / "flags.cfg"), path / "checkpoints")
    logits = discriminator([arrays["images"], arrays["labels"]]).numpy()
    np.testing.assert_allclose(logits, arrays["logits"], rtol=TOLERANCE)


def test_what_is_said(imported: Callable[..., Imported], capsys: pytest.CaptureFixture[str]) -> None:
    """Every variable was used, but for what a decay of 0 makes useless and what follows from the step."""
    for name, used, network in [
        ("trained-2", "334 of 441", "5 classes, base_channels 4, latent_dim 128"),
        ("plain", "169 of 169", "3 classes, base_channels 8, latent_dim 16"),
        ("official", "170 of 170", "4 classes, base_channels 4, latent_dim 128"),
    ]:
        path, _, said = imported(name, capsys)
        assert f"took {used} variables" in said and f"128 px, 3 channels, {network}" in said
        assert said.endswith(f"run in {path}\n")
    _, _, said = imported("trained-2", capsys)
    left_out = [line for line in said.splitlines() if "left out" in line]
    assert [re.search(r"left out: (\d+ .*?)[,(]", line)[1].strip() for line in left_out] == [
        "103 first moments of Adam",
        "4 powers of Adam's decays",
    ]


def test_the_run_is_whole(imported: Callable[..., Imported], capsys: pytest.CaptureFixture[str]) -> None:
    """It holds all that training goes on from, and samples by the door."""
    path, _, _ = imported("trained-2", capsys)
    config = read_config(path / "flags.cfg")
    assert config.training.run_dir == str(path) and config.training.ema_decay == 0.999
    state = create_state(config)
    assert restore_latest(state, path / "checkpoints") == 2
    assert int(state.generator_optimizer.iterations) == int(state.discriminator_optimizer.iterations) == 2
    assert all(np.all(one.numpy() > 0.0) for one in state.generator_optimizer._sums_of_squares[:1])
    assert sorted(one.name for one in path.iterdir()) == ["checkpoints", "flags.cfg", "versions.json"]
    assert sorted(one.name for one in path.parent.iterdir()) == ["trained-2"]  # nothing unfinished lies beside
    assert sample.run([f"--run_dir={path}", "--mode=classes", "--labels=1,4", f"--output={path}.png"]) == 0
    with Image.open(f"{path}.png") as picture:
        assert picture.size > (256, 128)


def test_the_run_is_evaluated(
    imported: Callable[..., Imported], tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of the data that it was trained on nothing is known: pictures to compare with are named."""
    path, _, _ = imported("plain", capsys)
    save_extractor(tmp_path / "inception")
    pixels = np.random.default_rng(0)
    (tmp_path / "pictures").mkdir()
    for index in range(20):
        Image.fromarray(pixels.integers(256, size=(128, 128, 3), dtype=np.uint8)).save(
            tmp_path / "pictures" / f"{index}.png"
        )
    flags = [f"--run_dir={path}", f"--reference={tmp_path / 'pictures'}", f"--reference_dir={tmp_path}"]
    flags += [
        f"--inception_dir={tmp_path / 'inception'}",
        "--metrics=fid1k,is1k",
        f"--output={tmp_path / 'found.json'}",
    ]
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
    lite = LiteGenerator((tmp_path / "tflite" / "generator_float32.tflite").read_bytes())
    np.testing.assert_allclose(lite(**inputs), arrays["images"], atol=TOLERANCE)


def test_flags_and_class_names(checkpoints: pathlib.Path, tmp_path: pathlib.Path) -> None:
    names = tmp_path / "names.txt"
    names.write_text("cat\ndog\nbird\n")
    run_dir, flagfile = tmp_path / "run [1]", tmp_path / "of_another_run.cfg"
    run_dir.mkdir()  # an empty folder will do
    flagfile.write_text("--run_dir=elsewhere\n--ema_decay=0.5\n")
    main(
        [f"--checkpoint={checkpoints / 'plain'}", f"--run_dir={run_dir}", f"--class_names={names}", "--generator_only"]
        + ["--dataset", "folder", "--spectral_norm_constraint=equal", f"--flagfile={flagfile}"]
    )
    config = read_config(run_dir / "flags.cfg")
    assert (config.data.dataset, config.model.spectral_norm_constraint) == ("folder", "equal")
    assert (config.training.ema_decay, config.training.run_dir) == (0.5, str(run_dir))
    assert RunDirectory(run_dir).class_names(3) == ("cat", "dog", "bird")


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """What the tool says of a mistake: one line, with exit status 2."""
    status = main(arguments)
    captured = capsys.readouterr()
    assert status == 2 and captured.out == "" and captured.err.count("\n") == 1
    return captured.err


def test_mistakes_write_nothing(
    checkpoints: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plain, run_dir = f"--checkpoint={checkpoints / 'plain'}", f"--run_dir={tmp_path / 'a' / 'run'}"
    two = tmp_path / "two.txt"
    two.write_text("cat\ndog\n")
    for arguments, message in [
        ([f"--checkpoint={checkpoints}"], f"in {checkpoints} there is official, plain, trained-2"),
        ([f"{plain}.index"], "expected a prefix such as model.ckpt-1000"),
        ([plain, "--basechannels=4"], "unknown flag --basechannels; did you mean --base_channels?"),
        ([plain, "--base_channels=4"], "expected shapes that fit one another"),
        ([plain, "--attention_resolutions=7"], "attention_resolutions: expected sizes that the generator has"),
        ([plain, "--loss=huge"], "loss: expected one of hinge"),
        ([plain, f"--class_names={two}"], "class_names: expected 3 names, received 2"),
        ([plain, f"--class_names={tmp_path / 'none'}"], "class_names: expected a text file"),
    ]:
        assert message in refused(capsys, *arguments, run_dir)
    assert sorted(one.name for one in tmp_path.iterdir()) == ["two.txt"]


def test_a_damaged_checkpoint(
    checkpoints: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for suffix in ("index", "data-00000-of-00001"):
        shutil.copy(checkpoints / f"plain.{suffix}", tmp_path)
    data = tmp_path / "plain.data-00000-of-00001"
    data.write_bytes(data.read_bytes()[: 2**20])
    assert "expected an intact checkpoint" in refused(
        capsys, f"--checkpoint={tmp_path / 'plain'}", f"--run_dir={tmp_path / 'run'}"
    )
    assert not (tmp_path / "run").exists()


def test_a_run_that_is_there_is_left_alone(
    checkpoints: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "flags.cfg").write_text("mine")
    for path in (tmp_path, tmp_path / "flags.cfg"):
        said = refused(capsys, f"--checkpoint={checkpoints / 'plain'}", f"--run_dir={path}")
        assert f"run_dir: expected a new or an empty folder, received {path}" in said
    assert (tmp_path / "flags.cfg").read_text() == "mine" and len(list(tmp_path.iterdir())) == 1


def test_a_checkpoint_of_ours_needs_no_import(
    imported: Callable[..., Imported], tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, _, _ = imported("plain", capsys)
    said = refused(capsys, f"--checkpoint={path / 'checkpoints' / 'step-0'}", f"--run_dir={tmp_path / 'run'}")
    assert "received one of TensorFlow 2's" in said


def test_the_program() -> None:
    """As it is called; a mistake that needs no TensorFlow to be seen."""
    command = [
        sys.executable,
        "tools/import_tfgan_checkpoint.py",
        "--checkpoint=/nowhere/model",
        "--run_dir=/nowhere/run",
    ]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 2 and result.stdout == ""
    assert result.stderr == (
        "import_tfgan_checkpoint: error: checkpoint: expected a prefix such as model.ckpt-1000, where "
        "model.ckpt-1000.index lies, received /nowhere/model; in /nowhere there is none\n"
    )


def test_class_names(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "names.txt"
    path.write_text(" cat \nGreat Dane\n\n")
    assert read_class_names(str(path)) == ("cat", "Great Dane")
    path.write_text("cat\n", encoding="utf-8-sig")
    assert read_class_names(str(path)) == ("cat",)
    path.write_text("cat\n", encoding="utf-16")
    with pytest.raises(UserError, match="class_names: .*UTF-16"):
        read_class_names(str(path))
    for text in ("cat\n\ndog\n", "cat\ncat\n", "caf\u00e9\ncafe\u0301\n", ""):
        path.write_text(text, encoding="utf-8")
        with pytest.raises(UserError, match="expected another name on every line"):
            read_class_names(str(path))


def test_find_checkpoint(tmp_path: pathlib.Path) -> None:
    (tmp_path / "model.ckpt-3.index").touch()
    assert find_checkpoint(str(tmp_path / "model.ckpt-3")) == str(tmp_path / "model.ckpt-3")
    with pytest.raises(UserError, match=r"there is model\.ckpt-3$"):
        find_checkpoint(str(tmp_path / "model.ckpt"))
