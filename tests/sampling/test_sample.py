"""Tests of `python -m sagan_tf.sample` as a user calls it; errors are one line and write nothing."""

from __future__ import annotations

import json
import logging
import pathlib

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from sagan_tf import sample, train
from sagan_tf.cli.flags import parse_config
from sagan_tf.generation.generators import load_generator_from_run
from sagan_tf.runs.checkpoints import Checkpoints
from sagan_tf.runs.run_directory import RunDirectory
from sagan_tf.sampling import nearest
from sagan_tf.serving.contract import MODEL_CARD
from sagan_tf.training.state import create_state
from sagan_tf.visualization import output
from tests.sampling.tiny_generator import read_tiles

SMALL = ["--dataset=fashion_mnist_10k", "--resolution=32", "--image_channels=1", "--attention_resolutions=16"]
SMALL += ["--base_channels=2", "--global_batch_size=8", "--steps_per_loop=2", "--strategy=one_device", "--num_steps=2"]
# With this learning rate, classes differ after two steps.
SMALL += ["--generator_learning_rate=0.3", "--extractor=fashion_mnist", "--metrics=fcd"]


@pytest.fixture(autouse=True)
def console() -> None:
    """Remove the log handler of the command, which keeps the standard output of an earlier test."""
    logging.getLogger("sagan_tf").handlers = []


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    path = tmp_path_factory.mktemp("run")
    assert train.run([*SMALL, f"--run_dir={path}"]) == 0
    return path


@pytest.fixture(scope="module")
def names(run_dir: pathlib.Path) -> tuple[str, ...]:
    return RunDirectory(str(run_dir)).read_class_names(10)


@pytest.fixture(scope="module")
def saved_model(
    run_dir: pathlib.Path, names: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory
) -> pathlib.Path:
    """Export the run's generator as a SavedModel with a model card."""
    path = tmp_path_factory.mktemp("export") / "model"
    generator = load_generator_from_run(str(run_dir))
    module = tf.Module()
    module.network = generator.network
    inputs = [tf.TensorSpec([None, generator.latent_dim], tf.float32), tf.TensorSpec([None], tf.int32)]
    module.images = tf.function(
        lambda latents, labels: {"images": module.network([latents, labels], training=False)},
        input_signature=[
            tf.TensorSpec(inputs[0].shape, tf.float32, "latents"),
            tf.TensorSpec([None], tf.int32, "labels"),
        ],
        autograph=False,
    )
    tf.saved_model.save(module, str(path), signatures={"serving_default": module.images})
    (path / MODEL_CARD).write_text(json.dumps({"class_names": names}))
    return path


def make(source: pathlib.Path, output_path: pathlib.Path, *flags: str, kind: str = "run_dir") -> None:
    has_strategy = kind != "run_dir" or any(flag.startswith("--strategy") for flag in flags)
    strategy = () if has_strategy else ("--strategy=one_device",)
    assert sample.run([f"--{kind}={source}", f"--output={output_path}", *strategy, *flags]) == 0


def error_of(capsys: pytest.CaptureFixture[str], *flags: str) -> str:
    capsys.readouterr()
    strategy = ["--strategy=one_device"] if any(flag.startswith("--run_dir") for flag in flags) else []
    assert sample.run([*strategy, *flags]) == 2
    printed = capsys.readouterr().err.splitlines()
    (line,) = [line for line in printed if not line.startswith("usage: ")]
    assert line.startswith("sagan_tf.sample: error: ") and "Traceback" not in "".join(printed)
    return line.removeprefix("sagan_tf.sample: error: ")


def pixels(path: pathlib.Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image).astype(int)


def read_png_files(directory: pathlib.Path) -> dict[str, bytes]:
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*.png")}


MODES = {
    "grid": ["--labels=3,Bag", "--columns=2"],
    "classes": [],
    "interpolation": ["--labels=3,Bag", "--columns=3"],
    "interpolation between classes": ["--between=classes", "--labels=3,Bag", "--columns=3", "--num_samples=2"],
    "truncation": ["--labels=3", "--truncations=2,0.5,0"],
    "attention": ["--num_samples=2"],
    "attention discriminator": ["--num_samples=2", "--network=discriminator", "--queries=0.5:0.5,0.1:0.9"],
    "grid standing": ["--labels=3,Bag", "--columns=2", "--standing_batches=2", "--truncation=0.5"],
}

MODES_THAT_USE_WEIGHTS = ("grid standing", "interpolation between classes", "attention")


@pytest.mark.parametrize("mode", MODES)
def test_images_of_every_mode(mode: str, run_dir: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """Two replicas make the images of one up to rounding, which is checked for modes that read the weights."""
    found = []
    strategies = ("one_device", "mirrored") if mode in MODES_THAT_USE_WEIGHTS else ("one_device",)
    for strategy in strategies:
        path = tmp_path / "new" / f"{strategy}.png"
        make(run_dir, path, f"--mode={mode.split()[0]}", *MODES[mode], f"--strategy={strategy}")
        found.append(pixels(path))
    assert found[0].std() > 5 and found[0].shape == found[-1].shape
    assert np.quantile(np.abs(found[0] - found[-1]), 0.99) <= 2
    assert sorted(path.stem for path in (tmp_path / "new").iterdir()) == sorted(strategies)


def test_nearest(run_dir: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Search the first training images with the extractor of the run."""
    make_dataset = nearest.make_single_pass_dataset
    monkeypatch.setattr(
        nearest, "make_single_pass_dataset", lambda *args, **kwargs: make_dataset(*args, **kwargs).take(3)
    )
    make(run_dir, tmp_path / "a.png", "--mode=nearest", "--num_samples=2", "--columns=3", "--labels=Bag")
    found = read_tiles(Image.open(tmp_path / "a.png"), 2, 3, factor=3, line=18)
    make(run_dir, tmp_path / "b.npz", "--mode=images", "--num_samples=2", "--labels=Bag")
    assert np.abs(found[:, 0].astype(int) - np.load(tmp_path / "b.npz")["images"][..., 0]).max() <= 1
    assert np.ptp(found[:, 1:].reshape(4, -1), axis=1).min() > 50


def test_attention_page(run_dir: pathlib.Path, tmp_path: pathlib.Path) -> None:
    make(run_dir, tmp_path / "a.html", "--mode=attention", "--num_samples=1")
    page = (tmp_path / "a.html").read_text()
    assert page.startswith("<!DOCTYPE html>") and "generator of" in page and "seed 0" in page


def test_a_seed_and_a_class_give_the_same_image_in_every_mode(
    run_dir: pathlib.Path, names: tuple[str, ...], tmp_path: pathlib.Path
) -> None:
    """Directories are named by labels, because T-shirt/top cannot be a directory name."""
    label = names.index("Bag")
    flags = ["--labels=Bag", "--seed=5"]
    make(run_dir, tmp_path / "images", "--mode=images", "--num_samples=2", *flags)
    expected = pixels(tmp_path / "images" / str(label) / "00000005.png")
    different = pixels(tmp_path / "images" / str(label) / "00000006.png")
    make(run_dir, tmp_path / "grid.png", "--columns=2", *flags)
    make(run_dir, tmp_path / "classes.png", "--mode=classes", "--seed=5", "--columns=5")
    make(run_dir, tmp_path / "truncation.png", "--mode=truncation", *flags)
    grid = read_tiles(Image.open(tmp_path / "grid.png"), 1, 2).astype(int)
    classes = read_tiles(Image.open(tmp_path / "classes.png"), 2, 5, factor=3, line=18).reshape(10, 32, 32).astype(int)
    truncated = read_tiles(Image.open(tmp_path / "truncation.png"), 1, 8).astype(int)  # none, 2, ..., 0
    for found in (grid[0, 0], classes[label], truncated[0, 0]):
        assert np.abs(found - expected).max() <= 1
    for found in (different, grid[0, 1], classes[label - 1], truncated[0, 7]):
        assert np.abs(found - expected).max() > 1


def test_an_export_makes_the_same_files(
    run_dir: pathlib.Path, saved_model: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    flags = ["--mode=images", "--num_samples=12", "--truncation=0.8", "--batch_size=5"]
    make(run_dir, tmp_path / "run", *flags)
    make(saved_model, tmp_path / "export", *flags, kind="saved_model")
    found = read_png_files(tmp_path / "run")
    assert len(found) == 12 and found == read_png_files(tmp_path / "export")
    make(saved_model, tmp_path / "grid.png", "--labels=Bag", "--columns=2", kind="saved_model")


def test_shards_by_two_replicas(run_dir: pathlib.Path, tmp_path: pathlib.Path) -> None:
    flags = ["--mode=images", "--num_samples=7", "--batch_size=3"]
    make(run_dir, tmp_path / "whole", *flags)
    for shard in ("1/2", "2/2"):
        make(run_dir, tmp_path / "shards", *flags, f"--shard={shard}", "--strategy=mirrored")
    whole, shards = read_png_files(tmp_path / "whole"), read_png_files(tmp_path / "shards")
    assert whole.keys() == shards.keys() and len(whole) == 7
    for name in whole:
        assert np.abs(pixels(tmp_path / "whole" / name) - pixels(tmp_path / "shards" / name)).max() <= 1


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--mode=grid"], "output: {directory}/existing.png exists"),
        (["--labels=Bog"], "labels: "),
        (["--labels=10"], "labels: "),
        (["--checkpoint=9"], "checkpoint: there is no checkpoint of step 9 in {run}/checkpoints; "),
        (["--checkpoint=best"], "checkpoint: there is no best checkpoint in {run}/checkpoints; "),
        (["--queries=0.5", "--mode=attention"], "queries: "),
        (["--queries=0.5:1.5", "--mode=attention"], "queries: "),
        (["--queries=" + ",".join(["0:0"] * 8), "--mode=attention"], "queries: expected at most 7 "),
        (["--mode=interpolation", "--between=classes", "--labels=3"], "labels: "),
        (["--columns=1000"], "output: "),
        (["--mode=nearest", "--columns=1"], "columns: "),
        (["--mode=mosaic"], "--mode=mosaic: "),
    ],
)
def test_errors(
    flags: list[str], message: str, run_dir: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "existing.png").write_text("content")
    name = "existing" if flags == ["--mode=grid"] else "new"
    found = error_of(capsys, f"--run_dir={run_dir}", f"--output={tmp_path}/{name}.png", *flags)
    assert found.startswith(message.format(directory=tmp_path, run=run_dir))
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("existing.png", "content")]


def test_overwrite_replaces_a_file(run_dir: pathlib.Path, tmp_path: pathlib.Path) -> None:
    (tmp_path / "existing.png").write_text("content")
    make(run_dir, tmp_path / "existing.png", "--labels=1", "--columns=1", "--overwrite")
    assert pixels(tmp_path / "existing.png").std() > 5


def test_missing_runs_and_exports(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = f"--output={tmp_path}/a.png"
    for option in ("run_dir", "saved_model"):
        message = error_of(capsys, f"--{option}=nowhere", path)
        assert message.startswith(f"{option}: ") and "nowhere" in message
    assert "--run_dir or --saved_model" in error_of(capsys, path)
    assert list(tmp_path.iterdir()) == []


def test_a_run_without_attention_layers(
    run_dir: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture
) -> None:
    new_run = tmp_path / "run"
    new_run.mkdir()
    flags = (run_dir / "flags.cfg").read_text()
    assert "--attention_resolutions=16" in flags
    (new_run / "flags.cfg").write_text(flags.replace("--attention_resolutions=16", "--attention_resolutions="))
    config = parse_config([f"--flagfile={new_run / 'flags.cfg'}"])
    Checkpoints(new_run / "checkpoints", create_state(config), 1).save()
    for name in ("a.png", "a.html"):
        found = error_of(capsys, f"--run_dir={new_run}", "--mode=attention", f"--output={tmp_path}/{name}")
        assert found.startswith("mode: ") and "attention layers" in found
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_a_full_disk(
    run_dir: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(image: Image.Image, path: pathlib.Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(output, "save_png", fail)
    found = error_of(capsys, f"--run_dir={run_dir}", f"--output={tmp_path}/a.png", "--labels=1", "--columns=1")
    assert found.startswith("output: ") and f"{tmp_path}/a.png" in found and "No space left on device" in found
