"""Mode images: files and archives hold the pictures of their seeds and classes."""

from __future__ import annotations

import io
import json
import math
import pathlib

import numpy as np
import pytest
from PIL import Image

from sagan_tf.errors import UserError
from sagan_tf.generation.generators import Generator
from sagan_tf.sampling.images import check_images_output, images, png_maker
from tests.sampling.tiny_generator import NAMES, sample_options, tiny_generator


@pytest.fixture(scope="module")
def generator() -> Generator:
    return tiny_generator()


def test_files_are_the_generators_pictures(generator: Generator) -> None:
    seeds, labels = np.arange(5), np.array([0, 2, 1, 0, 2], np.int32)
    for truncation in (math.inf, 0.5):
        files = png_maker(generator, truncation)(seeds, labels).numpy()
        expected = generator.of_seeds(seeds, labels, truncation)
        for file, picture in zip(files, expected, strict=True):
            np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(file))), picture[..., 0])


@pytest.mark.parametrize("truncation", [None, 0.5])
def test_folder_and_archive_hold_the_same(
    generator: Generator, truncation: float | None, tmp_path: pathlib.Path
) -> None:
    common = {"mode": "images", "num_samples": 7, "seed": 3, "batch_size": 3, "truncation": truncation}
    common |= {"labels": ("cherry", "apple")}
    images(generator, sample_options(output=str(tmp_path / "folder"), **common))
    images(generator, sample_options(output=str(tmp_path / "a.npz"), **common))
    with np.load(tmp_path / "a.npz") as archive:
        assert archive["seeds"].tolist() == list(range(3, 10))
        assert archive["labels"].tolist() == [(2, 0)[seed % 2] for seed in range(3, 10)]
        assert tuple(archive["class_names"]) == NAMES and archive["images"].shape == (7, 32, 32, 1)
        expected = generator.of_seeds(archive["seeds"], archive["labels"], truncation or math.inf).astype(int)
        assert np.abs(archive["images"] - expected).max() <= 1
        for seed, label, picture in zip(archive["seeds"], archive["labels"], archive["images"], strict=True):
            read = np.asarray(Image.open(tmp_path / "folder" / NAMES[label] / f"{seed:08d}.png"))
            np.testing.assert_array_equal(read, picture[..., 0])
    assert len(list((tmp_path / "folder").rglob("*.png"))) == 7


def test_the_shard_of_a_worker(generator: Generator, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two processes that need not know of each other fill one folder."""
    workers = {"worker": ["a:1", "b:1"]}
    for index, expected in ((1, [2, 3, 4]), (0, [0, 1, 2, 3, 4])):
        task = {"cluster": workers, "task": {"type": "worker", "index": index}}
        monkeypatch.setenv("TF_CONFIG", json.dumps(task))
        images(generator, sample_options(output=str(tmp_path), shard="worker", mode="images", num_samples=5))
        assert sorted(int(path.stem) for path in tmp_path.rglob("*.png")) == expected
    with pytest.raises(UserError, match="output: expected a folder, which workers can share, received "):
        check_images_output(sample_options(output="a.npz", shard="worker", mode="images"))


def test_shards(generator: Generator, tmp_path: pathlib.Path) -> None:
    common = {"mode": "images", "num_samples": 5}
    for shard in ("1/2", "2/2"):
        images(generator, sample_options(output=str(tmp_path / "folder"), shard=shard, **common))
        images(generator, sample_options(output=f"{tmp_path}/{shard[0]}.npz", shard=shard, **common))
    names = sorted(path.name for path in (tmp_path / "folder").rglob("*.png"))
    assert names == [f"{seed:08d}.png" for seed in range(5)]
    seeds = [np.load(tmp_path / f"{part}.npz")["seeds"].tolist() for part in (1, 2)]
    assert seeds == [[0, 1], [2, 3, 4]]


def test_a_hundred_without_a_number(generator: Generator, tmp_path: pathlib.Path) -> None:
    images(generator, sample_options(mode="images", output=str(tmp_path / "a.NPZ")))
    assert np.load(tmp_path / "a.NPZ")["labels"].tolist() == [seed % 3 for seed in range(100)]


def test_outputs_that_do_not_do(generator: Generator, tmp_path: pathlib.Path) -> None:
    (tmp_path / "a.npz").write_text("mine")
    (tmp_path / "file").write_text("mine")
    for output, expected in {
        "a.npz": f"a file that is not there yet, received {tmp_path}/a.npz; --overwrite replaces it",
        "a.png": f"a folder or an .npz file for images, received {tmp_path}/a.png",
    }.items():
        with pytest.raises(UserError) as caught:
            check_images_output(sample_options(mode="images", output=f"{tmp_path}/{output}"))
        assert str(caught.value) == f"output: expected {expected}"
    check_images_output(sample_options(mode="images", output=f"{tmp_path}/a.npz", overwrite=True))
    check_images_output(sample_options(mode="images", output=f"{tmp_path}/new/folder"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.npz", "file"]
