"""`python -m sagan_tf.sample` as a user calls it: a run in, pictures out; mistakes get one line and write nothing."""

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
from sagan_tf.generation.generators import generator_of_run
from sagan_tf.runs.checkpoints import Checkpoints
from sagan_tf.runs.run_directory import RunDirectory
from sagan_tf.sampling import nearest
from sagan_tf.serving.contract import MODEL_CARD
from sagan_tf.training.state import create_state
from sagan_tf.visualization import output
from tests.sampling.tiny_generator import tiles

SMALL = ["--dataset=fashion_mnist_10k", "--resolution=32", "--image_channels=1", "--attention_resolutions=16"]
SMALL += ["--base_channels=2", "--global_batch_size=8", "--steps_per_loop=2", "--strategy=one_device", "--num_steps=2"]
# So that two steps are enough for classes that differ.
SMALL += ["--generator_learning_rate=0.3", "--extractor=fashion_mnist", "--metrics=fcd"]


@pytest.fixture(autouse=True)
def console() -> None:
    """The door's handler writes where standard output was when it began."""
    logging.getLogger("sagan_tf").handlers = []


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    path = tmp_path_factory.mktemp("run")
    assert train.run([*SMALL, f"--run_dir={path}"]) == 0
    return path


@pytest.fixture(scope="module")
def names(run_dir: pathlib.Path) -> tuple[str, ...]:
    return RunDirectory(str(run_dir)).class_names(10)


@pytest.fixture(scope="module")
def saved_model(
    run_dir: pathlib.Path, names: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory
) -> pathlib.Path:
    """The run's generator as a SavedModel with a card."""
    path = tmp_path_factory.mktemp("export") / "model"
    generator = generator_of_run(str(run_dir), lambda flags: parse_config([f"--flagfile={flags}"]))
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
    with Image.open(path) as picture:
        return np.asarray(picture).astype(int)


def png_files(folder: pathlib.Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.png")}


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

WITH_WEIGHTS = ("grid standing", "interpolation between classes", "attention")


@pytest.mark.parametrize("mode", MODES)
def test_pictures_of_every_mode(mode: str, run_dir: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """Two replicas make what one makes, but for rounding; looked at where more than their pictures is taken of them."""
    found = []
    strategies = ("one_device", "mirrored") if mode in WITH_WEIGHTS else ("one_device",)
    for strategy in strategies:
        path = tmp_path / "new" / f"{strategy}.png"
        make(run_dir, path, f"--mode={mode.split()[0]}", *MODES[mode], f"--strategy={strategy}")
        found.append(pixels(path))
    assert found[0].std() > 5 and found[0].shape == found[-1].shape
    assert np.quantile(np.abs(found[0] - found[-1]), 0.99) <= 2
    assert sorted(path.stem for path in (tmp_path / "new").iterdir()) == sorted(strategies)


def test_nearest(run_dir: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the extractor of the run, among the first of its images."""
    whole = nearest.single_pass_dataset
    monkeypatch.setattr(nearest, "single_pass_dataset", lambda *given, **named: whole(*given, **named).take(3))
    make(run_dir, tmp_path / "a.png", "--mode=nearest", "--num_samples=2", "--columns=3", "--labels=Bag")
    found = tiles(Image.open(tmp_path / "a.png"), 2, 3, factor=3, line=18)
    make(run_dir, tmp_path / "b.npz", "--mode=images", "--num_samples=2", "--labels=Bag")
    assert np.abs(found[:, 0].astype(int) - np.load(tmp_path / "b.npz")["images"][..., 0]).max() <= 1
    assert np.ptp(found[:, 1:].reshape(4, -1), axis=1).min() > 50


def test_attention_page(run_dir: pathlib.Path, tmp_path: pathlib.Path) -> None:
    make(run_dir, tmp_path / "a.html", "--mode=attention", "--num_samples=1")
    page = (tmp_path / "a.html").read_text()
    assert page.startswith("<!DOCTYPE html>") and "generator of" in page and "seed 0" in page


def test_a_seed_and_a_class_make_a_picture(
    run_dir: pathlib.Path, names: tuple[str, ...], tmp_path: pathlib.Path
) -> None:
    """The same in every mode. Folders have numbers: T-shirt/top could be none."""
    label = names.index("Bag")
    flags = ["--labels=Bag", "--seed=5"]
    make(run_dir, tmp_path / "images", "--mode=images", "--num_samples=2", *flags)
    expected = pixels(tmp_path / "images" / str(label) / "00000005.png")
    other = pixels(tmp_path / "images" / str(label) / "00000006.png")
    make(run_dir, tmp_path / "grid.png", "--columns=2", *flags)
    make(run_dir, tmp_path / "classes.png", "--mode=classes", "--seed=5", "--columns=5")
    make(run_dir, tmp_path / "truncation.png", "--mode=truncation", *flags)
    grid = tiles(Image.open(tmp_path / "grid.png"), 1, 2).astype(int)
    classes = tiles(Image.open(tmp_path / "classes.png"), 2, 5, factor=3, line=18).reshape(10, 32, 32).astype(int)
    truncated = tiles(Image.open(tmp_path / "truncation.png"), 1, 8).astype(int)  # none, 2, ..., 0
    for found in (grid[0, 0], classes[label], truncated[0, 0]):
        assert np.abs(found - expected).max() <= 1
    for found in (other, grid[0, 1], classes[label - 1], truncated[0, 7]):
        assert np.abs(found - expected).max() > 1


def test_an_export_makes_the_same_files(
    run_dir: pathlib.Path, saved_model: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    flags = ["--mode=images", "--num_samples=12", "--truncation=0.8", "--batch_size=5"]
    make(run_dir, tmp_path / "run", *flags)
    make(saved_model, tmp_path / "export", *flags, kind="saved_model")
    found = png_files(tmp_path / "run")
    assert len(found) == 12 and found == png_files(tmp_path / "export")
    make(saved_model, tmp_path / "grid.png", "--labels=Bag", "--columns=2", kind="saved_model")


def test_shards_by_two_replicas(run_dir: pathlib.Path, tmp_path: pathlib.Path) -> None:
    flags = ["--mode=images", "--num_samples=7", "--batch_size=3"]
    make(run_dir, tmp_path / "whole", *flags)
    for shard in ("1/2", "2/2"):
        make(run_dir, tmp_path / "shards", *flags, f"--shard={shard}", "--strategy=mirrored")
    whole, shards = png_files(tmp_path / "whole"), png_files(tmp_path / "shards")
    assert whole.keys() == shards.keys() and len(whole) == 7
    for name in whole:
        assert np.abs(pixels(tmp_path / "whole" / name) - pixels(tmp_path / "shards" / name)).max() <= 1


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--mode=grid"], "output: expected a file that is not there yet, received {folder}/there.png; --overwrite "),
        (
            ["--labels=Bog"],
            "labels: expected a class by name or a number below 10, received 'Bog'; did you mean Bag?",
        ),
        (["--labels=10"], "labels: expected classes from 0 to 9, received '10'"),
        (["--checkpoint=9"], "checkpoint: expected 9 in {run}/checkpoints, received only steps 2"),
        (["--checkpoint=best"], "checkpoint: expected best in {run}/checkpoints, received only steps 2; --evaluate_"),
        (
            ["--queries=0.5", "--mode=attention"],
            "queries: expected places ROW:COLUMN from 0:0 to 1:1, such as 0.5:0.5,",
        ),
        (["--queries=0.5:1.5", "--mode=attention"], "queries: expected places ROW:COLUMN from 0:0 to 1:1, such as "),
        (["--queries=" + ",".join(["0:0"] * 8), "--mode=attention"], "queries: expected at most 7 places, received 8"),
        (["--mode=interpolation", "--between=classes", "--labels=3"], "labels: expected at least two classes to go "),
        (["--columns=1000"], "output: expected a sheet that can be opened, received 1000 x 10 pictures of 32 px; ask "),
        (["--mode=nearest", "--columns=1"], "columns: expected at least 2 for nearest, received 1"),
        (["--mode=mosaic"], "--mode=mosaic: expected one of grid, images, "),
    ],
)
def test_mistakes(
    flags: list[str], message: str, run_dir: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "there.png").write_text("mine")
    name = "there" if flags == ["--mode=grid"] else "new"
    found = error_of(capsys, f"--run_dir={run_dir}", f"--output={tmp_path}/{name}.png", *flags)
    assert found.startswith(message.format(folder=tmp_path, run=run_dir))
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("there.png", "mine")]


def test_what_may_be_replaced_is(run_dir: pathlib.Path, tmp_path: pathlib.Path) -> None:
    (tmp_path / "there.png").write_text("mine")
    make(run_dir, tmp_path / "there.png", "--labels=1", "--columns=1", "--overwrite")
    assert pixels(tmp_path / "there.png").std() > 5


def test_what_is_no_run_or_export(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = f"--output={tmp_path}/a.png"
    expected = "run_dir: expected the folder of a run, with flags.cfg in it, received nowhere"
    assert error_of(capsys, "--run_dir=nowhere", path) == expected
    assert error_of(capsys, "--saved_model=nowhere", path).startswith("saved_model: expected a SavedModel ")
    assert error_of(capsys, path) == "expected either --run_dir or --saved_model, received neither"
    assert list(tmp_path.iterdir()) == []


def test_a_run_without_attention(run_dir: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture) -> None:
    other = tmp_path / "run"
    other.mkdir()
    flags = (run_dir / "flags.cfg").read_text()
    assert "--attention_resolutions=16" in flags
    (other / "flags.cfg").write_text(flags.replace("--attention_resolutions=16", "--attention_resolutions="))
    config = parse_config([f"--flagfile={other / 'flags.cfg'}"])
    Checkpoints(other / "checkpoints", create_state(config), 1).save()
    for name in ("a.png", "a.html"):
        found = error_of(capsys, f"--run_dir={other}", "--mode=attention", f"--output={tmp_path}/{name}")
        assert found == "mode: expected a generator with attention layers for attention, received one without"
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_a_full_disk(
    run_dir: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(picture: Image.Image, path: pathlib.Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(output, "save_png", full)
    found = error_of(capsys, f"--run_dir={run_dir}", f"--output={tmp_path}/a.png", "--labels=1", "--columns=1")
    assert found.startswith("output: ") and f"{tmp_path}/a.png" in found and "No space left on device" in found
