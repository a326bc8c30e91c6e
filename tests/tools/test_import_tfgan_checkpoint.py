"""Tests that runs imported from checkpoints of TF-GAN's example generate the same images as TF-GAN.

TF-GAN writes the checkpoints in a process of its own (`importing/tfgan_checkpoints.py`), including the one with the
names of the official code, which itself is not run.
"""

from __future__ import annotations

import contextlib
import functools
import io
import os
import pathlib
import re
import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from sagan_tf.cli.flags import parse_config
from sagan_tf.config import Config
from sagan_tf.errors import UserError
from sagan_tf.generation.generators import load_generator_from_run
from sagan_tf.runs.checkpoints import restore_latest
from sagan_tf.runs.load_networks import load_discriminator
from sagan_tf.runs.run_directory import RunDirectory
from sagan_tf.sample import run as sample
from sagan_tf.training.state import create_state
from tools import import_tfgan_checkpoint
from tools.import_tfgan_checkpoint import read_class_names, run

ROOT = pathlib.Path(__file__).parents[2]
TOLERANCE = 1e-4
OTHERS = [pytest.param(name, marks=pytest.mark.slow) for name in ("trained-2", "official")]
Arrays = dict[str, np.ndarray]
Written = Callable[[str], pathlib.Path]
Imported = Callable[[str], tuple[pathlib.Path, Arrays, str]]


def read_config(path: pathlib.Path) -> Config:
    return parse_config([f"--flagfile={path}"])


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Written:
    """Return a function that writes each checkpoint once, with TF-GAN's images, and returns its prefix."""
    directory = tmp_path_factory.mktemp("checkpoints")
    environment = os.environ | {"TF_USE_LEGACY_KERAS": "1", "CUDA_VISIBLE_DEVICES": "-1"}

    @functools.cache
    def write(name: str) -> pathlib.Path:
        content = name.removesuffix("-2")
        command = [sys.executable, "-m", "tests.tools.importing.tfgan_checkpoints", str(directory), content]
        process = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)
        assert process.returncode == 0, process.stderr
        return directory / name

    return write


@pytest.fixture(scope="module")
def imported(written: Written, tmp_path_factory: pytest.TempPathFactory) -> Imported:
    """Return a function that imports each checkpoint once.

    It returns the directory of the run, the arrays of TF-GAN and the output of the tool.
    """

    @functools.cache
    def import_once(name: str) -> tuple[pathlib.Path, Arrays, str]:
        checkpoint, path = written(name), tmp_path_factory.mktemp("runs") / "sub" / name
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            assert run([f"--checkpoint={checkpoint}", f"--run_dir={path}"]) == 0
        with np.load(checkpoint.with_name(f"{name.removesuffix('-2')}.npz")) as arrays:
            return path, dict(arrays), printed.getvalue()

    return import_once


@pytest.mark.parametrize("name", ["plain", *OTHERS])
@pytest.mark.parametrize("weights", ["live", "ema"])
def test_images_equal_the_originals(imported: Imported, name: str, weights: str) -> None:
    path, arrays, _ = imported(name)
    generator = load_generator_from_run(str(path), weights=weights)
    images = generator.function(arrays["latents"], arrays["labels"]).numpy()
    expected = arrays.get("averaged_images", arrays["images"]) if weights == "ema" else arrays["images"]
    np.testing.assert_allclose(images, expected, rtol=0.0, atol=TOLERANCE)
    assert images.std() > 0.3 and np.abs(images).max() < 1.0
    if "averaged_images" in arrays:
        assert np.abs(arrays["averaged_images"] - arrays["images"]).max() > 0.1


@pytest.mark.parametrize("name", ["plain", *OTHERS[1:]])
def test_logits_equal_the_originals(imported: Imported, name: str) -> None:
    path, arrays, printed = imported(name)
    config = read_config(path / "flags.cfg")
    assert config.training.ema_decay == (0.0 if "averaged_images" not in arrays else 0.999)
    discriminator = load_discriminator(config, path / "checkpoints")
    logits = discriminator([arrays["images"], arrays["labels"]]).numpy()
    np.testing.assert_allclose(logits, arrays["logits"], rtol=TOLERANCE)
    used = re.search(r"(\d+) of (\d+) variables", printed)
    assert used and used[1] == used[2]  # No variable is left out.


@pytest.mark.slow
def test_the_run_is_complete(imported: Imported) -> None:
    """The run has the complete state of training, and can be sampled by the command."""
    path, _, _ = imported("trained-2")
    config = read_config(path / "flags.cfg")
    assert config.training.run_dir == str(path)
    assert (config.training.ema_decay, config.training.ema_start_step) == (0.999, 0)
    state = create_state(config)
    assert restore_latest(state, path / "checkpoints") == 2
    assert int(state.generator_optimizer.iterations) == int(state.discriminator_optimizer.iterations) == 2
    assert np.all(state.generator_optimizer._sums_of_squares[0].numpy() > 0.0)
    assert sorted(file.name for file in path.iterdir()) == ["checkpoints", "flags.cfg", "versions.json"]
    assert sorted(file.name for file in path.parent.iterdir()) == ["trained-2"]  # No temporary directory is left.
    assert sample([f"--run_dir={path}", "--mode=classes", "--labels=1,4", f"--output={path}.png"]) == 0
    with Image.open(f"{path}.png") as image:
        assert image.size > (256, 128)


def test_flags_and_class_names(written: Written, tmp_path: pathlib.Path) -> None:
    names = tmp_path / "names.txt"
    names.write_text("cat\ndog\nbird\n")
    run_dir, flagfile = tmp_path / "run [1]", tmp_path / "another_run.cfg"
    run_dir.mkdir()  # An empty directory is accepted.
    flagfile.write_text("--run_dir=elsewhere\n--ema_decay=0.5\n--generator_only\n")
    own = [f"--checkpoint={written('plain')}", f"--run_dir={run_dir}", f"--class_names={names}"]
    others = ["--dataset", "folder", "--spectral_norm_constraint=equal"]
    assert run([f"--flagfile={flagfile}", *own, *others]) == 0  # The last value of --run_dir is used.
    config = read_config(run_dir / "flags.cfg")
    assert (config.data.dataset, config.model.spectral_norm_constraint) == ("folder", "equal")
    assert (config.training.ema_decay, config.training.run_dir) == (0.5, str(run_dir))
    assert RunDirectory(run_dir).read_class_names(3) == ("cat", "dog", "bird")


def test_class_names_are_read_and_checked(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "names.txt"
    path.write_text(" cat \nGreat Dane\n\n", encoding="utf-8-sig")
    assert read_class_names(str(path)) == ("cat", "Great Dane")
    path.write_text("cat\n", encoding="utf-16")
    with pytest.raises(UserError, match="class_names: .*UTF-16"):
        read_class_names(str(path))
    for text in ("cat\n\ndog\n", "cat\ncat\n", "caf\u00e9\ncafe\u0301\n", ""):
        path.write_text(text, encoding="utf-8")
        with pytest.raises(UserError, match="class_names: .*names.txt"):
            read_class_names(str(path))


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Return the line of the error with which the tool ends."""
    status = run(arguments)
    captured = capsys.readouterr()
    assert status == 2 and captured.out == "" and "Traceback" not in captured.err
    return captured.err.splitlines()[-1]


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--checkpiont=a"], "--checkpiont.*--checkpoint"),
        (["--checkpoint=a", "--basechannels=4"], "--basechannels.*--base_channels"),
        (["--checkpoint=a", "--base_channels=many"], "base_channels.*many"),
        (["--checkpoint=a"], "run_dir: .*--run_dir"),
        (["--run_dir=a"], "checkpoint: .*--checkpoint"),
    ],
)
def test_invalid_flags_do_not_load_tensorflow(
    arguments: list[str], named: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(import_tfgan_checkpoint, "load_tensorflow", lambda: pytest.fail("TensorFlow was loaded"))
    assert re.search(named, refused(capsys, *arguments))


def test_invalid_options_write_nothing(
    written: Written, imported: Imported, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plain, run_dir = f"--checkpoint={written('plain')}", f"--run_dir={tmp_path / 'a' / 'run'}"
    two, checkpoints = tmp_path / "two.txt", written("plain").parent
    two.write_text("cat\ndog\n")
    for arguments, named in [
        ([f"--checkpoint={checkpoints}"], f"checkpoint: .*{checkpoints}: .*plain"),
        ([f"{plain}.index"], r"checkpoint: .*plain\.index"),
        ([plain, "--base_channels=4"], "checkpoint: .* shapes"),
        ([plain, "--attention_resolutions=7"], "attention_resolutions: .*7"),
        ([plain, "--loss=huge"], "loss.*huge"),
        ([plain, f"--class_names={two}"], "class_names: .*2"),
        ([plain, f"--class_names={tmp_path / 'none'}"], "class_names: .*none"),
        ([f"--checkpoint={imported('plain')[0]}/checkpoints/step-0"], "checkpoint: .*TensorFlow 2"),
        *(([plain, f"--run_dir={path}"], f"run_dir: .*{path}") for path in (tmp_path, two)),  # This one exists.
    ]:
        assert re.search(named, refused(capsys, run_dir, *arguments))
    assert list(tmp_path.iterdir()) == [two] and two.read_text() == "cat\ndog\n"
