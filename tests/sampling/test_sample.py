"""Tests of `python -m sagan_tf.sample` as a user calls it; errors are one line and write nothing."""

import logging
import pathlib

import numpy as np
import pytest
from PIL import Image

from sagan_tf.data.sources.packaged import load_arrays
from sagan_tf.sample import run as run_sample
from sagan_tf.sampling import nearest
from tests.exporting.small_export import save_run
from tests.sampling.tiny_generator import read_tiles

NAMES = load_arrays("train")[2]


@pytest.fixture(autouse=True)
def console():
    """Remove the log handler of the command, which keeps the standard output of an earlier test."""
    logging.getLogger("sagan_tf").handlers = []


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory):
    options = {"generator_spectral_norm": False, "discriminator_spectral_norm": False}  # such networks are traced fast
    return save_run(tmp_path_factory.mktemp("run"), NAMES, **options)


def make(run_dir: pathlib.Path, output_path: pathlib.Path, *flags: str, strategy: str = "one_device") -> None:
    assert run_sample([f"--run_dir={run_dir}", f"--output={output_path}", f"--strategy={strategy}", *flags]) == 0


def read_error(capsys: pytest.CaptureFixture[str], *flags: str) -> str:
    capsys.readouterr()
    assert run_sample(flags) == 2
    printed = capsys.readouterr().err.splitlines()
    (line,) = [line for line in printed if not line.startswith("usage: ")]
    assert line.startswith("sagan_tf.sample: error: ") and "Traceback" not in "".join(printed)
    return line.removeprefix("sagan_tf.sample: error: ")


def pixels(path: pathlib.Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image).astype(int)


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
def test_images_of_every_mode(mode, run_dir, tmp_path):
    """Two replicas make the images of one up to rounding, which is checked for modes that read the weights."""
    found = []
    strategies = ("one_device", "mirrored") if mode in MODES_THAT_USE_WEIGHTS else ("one_device",)
    for strategy in strategies:
        path = tmp_path / "new" / f"{strategy}.png"
        make(run_dir, path, f"--mode={mode.split()[0]}", *MODES[mode], strategy=strategy)
        found.append(pixels(path))
    assert found[0].std() > 5 and found[0].shape == found[-1].shape
    assert np.quantile(np.abs(found[0] - found[-1]), 0.99) <= 2
    assert sorted(path.stem for path in (tmp_path / "new").iterdir()) == sorted(strategies)


def test_nearest(run_dir, tmp_path, monkeypatch):
    """Search the first training images."""
    make_dataset = nearest.make_single_pass_dataset
    monkeypatch.setattr(
        nearest, "make_single_pass_dataset", lambda *args, **kwargs: make_dataset(*args, **kwargs).take(3)
    )
    flags = ["--extractor=fashion_mnist", "--num_samples=2", "--columns=3", "--labels=Bag"]
    make(run_dir, tmp_path / "a.png", "--mode=nearest", *flags)
    found = read_tiles(Image.open(tmp_path / "a.png"), 2, 3, factor=3, line=18)
    make(run_dir, tmp_path / "b.npz", "--mode=images", "--num_samples=2", "--labels=Bag")
    assert np.abs(found[:, 0].astype(int) - np.load(tmp_path / "b.npz")["images"][..., 0]).max() <= 1
    assert np.ptp(found[:, 1:].reshape(4, -1), axis=1).min() > 50


def test_a_seed_and_a_class_give_the_same_image_in_every_mode(run_dir, tmp_path):
    """Directories are named by labels, because T-shirt/top cannot be a directory name."""
    label = NAMES.index("Bag")
    flags = ["--labels=Bag", "--seed=5"]
    make(run_dir, tmp_path / "images", "--mode=images", "--num_samples=2", *flags)
    expected = pixels(tmp_path / "images" / str(label) / "00000005.png")
    different = pixels(tmp_path / "images" / str(label) / "00000006.png")
    (tmp_path / "grid.png").write_text("older")
    make(run_dir, tmp_path / "grid.png", "--columns=2", "--overwrite", *flags)
    make(run_dir, tmp_path / "classes.png", "--mode=classes", "--seed=5", "--columns=5")
    make(run_dir, tmp_path / "truncation.png", "--mode=truncation", *flags)
    grid = read_tiles(Image.open(tmp_path / "grid.png"), 1, 2)
    classes = read_tiles(Image.open(tmp_path / "classes.png"), 2, 5, factor=3, line=18).reshape(10, 32, 32)
    truncated = read_tiles(Image.open(tmp_path / "truncation.png"), 1, 8)  # none, 2, ..., 0
    for found in (grid[0, 0], classes[label], truncated[0, 0]):
        assert np.abs(found - expected).max() <= 1
    for found in (different, grid[0, 1], classes[label - 1], truncated[0, 7]):
        assert np.abs(found - expected).max() > 1


def test_shards_by_two_replicas(run_dir, tmp_path):
    flags = ["--mode=images", "--num_samples=7", "--batch_size=3"]
    make(run_dir, tmp_path / "whole", *flags)
    for shard in ("1/2", "2/2"):
        make(run_dir, tmp_path / "shards", *flags, f"--shard={shard}", strategy="mirrored")
    whole, shards = (
        {path.relative_to(tmp_path / name) for path in (tmp_path / name).rglob("*.png")} for name in ("whole", "shards")
    )
    assert whole == shards and len(whole) == 7
    for name in whole:
        assert np.abs(pixels(tmp_path / "whole" / name) - pixels(tmp_path / "shards" / name)).max() <= 1


@pytest.mark.parametrize(
    ("flags", "option", "value"),
    [
        ("--output={directory}/existing.png", "output", "{directory}/existing.png"),
        ("--labels=Bog", "labels", "Bog"),
        ("--labels=10", "labels", "10"),
        ("--checkpoint=9", "checkpoint", "step 9 in {run}/checkpoints"),
        ("--checkpoint=best", "checkpoint", "best checkpoint in {run}/checkpoints"),
        ("--queries=0.5:1.5 --mode=attention", "queries", "0.5:1.5"),
        ("--mode=attention --queries=" + ",".join(["0:0"] * 8), "queries", "8"),
        ("--mode=interpolation --between=classes --labels=3", "labels", "--between=classes"),
        ("--columns=1000", "output", "1000 x 10"),
        ("--mode=nearest --extractor=fashion_mnist --columns=1", "columns", "1"),
        ("--mode=mosaic", "--mode=mosaic", "mosaic"),
    ],
)
def test_errors(flags, option, value, run_dir, tmp_path, capsys):
    (tmp_path / "existing.png").write_text("content")
    given = flags.format(directory=tmp_path).split()
    found = read_error(capsys, f"--run_dir={run_dir}", f"--output={tmp_path}/new.png", *given)
    assert found.startswith(f"{option}: ") and value.format(directory=tmp_path, run=run_dir) in found
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("existing.png", "content")]


def test_a_run_without_attention_layers(tmp_path, capsys):
    run_dir = save_run(tmp_path / "run", attention_resolutions=())
    for name in ("a.png", "a.html"):
        found = read_error(capsys, f"--run_dir={run_dir}", "--mode=attention", f"--output={tmp_path}/{name}")
        assert found.startswith("mode: ") and "attention" in found
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
