"""Tests of mode images: files and archives have the images of their seeds and classes."""

import json
import math

import numpy as np
import pytest
from PIL import Image

from sagan_tf.errors import UserError
from sagan_tf.sampling.images import check_images_output, write_shard
from tests.sampling.tiny_generator import NAMES, make_sample_options, make_tiny_generator


@pytest.fixture(scope="module")
def generator():
    return make_tiny_generator()


@pytest.mark.parametrize("truncation", [None, 0.5])
def test_directory_and_archive_have_the_same_images(generator, truncation, tmp_path):
    common = {"mode": "images", "num_samples": 7, "seed": 3, "batch_size": 3, "truncation": truncation}
    common |= {"labels": ("cherry", "apple")}
    write_shard(generator, make_sample_options(output=str(tmp_path / "directory"), **common))
    write_shard(generator, make_sample_options(output=str(tmp_path / "a.npz"), **common))
    with np.load(tmp_path / "a.npz") as archive:
        assert archive["seeds"].tolist() == list(range(3, 10))
        assert archive["labels"].tolist() == [(2, 0)[seed % 2] for seed in range(3, 10)]
        assert tuple(archive["class_names"]) == NAMES and archive["images"].shape == (7, 32, 32, 1)
        expected: np.ndarray = generator.images_from_seeds(
            archive["seeds"], archive["labels"], truncation or math.inf
        ).astype(int)
        assert np.abs(archive["images"] - expected).max() <= 1
        for seed, label, image in zip(archive["seeds"], archive["labels"], archive["images"], strict=True):
            read = np.asarray(Image.open(tmp_path / "directory" / NAMES[label] / f"{seed:08d}.png"))
            np.testing.assert_array_equal(read, image[..., 0])
    assert len(list((tmp_path / "directory").rglob("*.png"))) == 7


def test_the_shard_of_a_worker(generator, tmp_path, monkeypatch):
    """Two workers write their shards to one directory without communication."""
    workers = {"worker": ["a:1", "b:1"]}
    for index, expected in ((1, [2, 3, 4]), (0, [0, 1, 2, 3, 4])):
        task = {"cluster": workers, "task": {"type": "worker", "index": index}}
        monkeypatch.setenv("TF_CONFIG", json.dumps(task))
        write_shard(generator, make_sample_options(output=str(tmp_path), shard="worker", mode="images", num_samples=5))
        assert sorted(int(path.stem) for path in tmp_path.rglob("*.png")) == expected
    with pytest.raises(UserError, match="^output: .*a.npz"):
        check_images_output(make_sample_options(output="a.npz", shard="worker", mode="images"))


def test_shards(generator, tmp_path):
    common = {"mode": "images", "num_samples": 5}
    for shard in ("1/2", "2/2"):
        write_shard(generator, make_sample_options(output=str(tmp_path / "directory"), shard=shard, **common))
        write_shard(generator, make_sample_options(output=f"{tmp_path}/{shard[0]}.npz", shard=shard, **common))
    names = sorted(path.name for path in (tmp_path / "directory").rglob("*.png"))
    assert names == [f"{seed:08d}.png" for seed in range(5)]
    seeds = [np.load(tmp_path / f"{part}.npz")["seeds"].tolist() for part in (1, 2)]
    assert seeds == [[0, 1], [2, 3, 4]]
    write_shard(generator, make_sample_options(mode="images", output=str(tmp_path / "a.NPZ")))
    assert np.load(tmp_path / "a.NPZ")["labels"].tolist() == [seed % 3 for seed in range(100)]


def test_invalid_outputs(tmp_path):
    (tmp_path / "a.npz").write_text("content")
    (tmp_path / "file").write_text("content")
    for name in ("a.npz", "a.png"):
        with pytest.raises(UserError, match=f"^output: .*{tmp_path}/{name}"):
            check_images_output(make_sample_options(mode="images", output=f"{tmp_path}/{name}"))
    check_images_output(make_sample_options(mode="images", output=f"{tmp_path}/a.npz", overwrite=True))
    check_images_output(make_sample_options(mode="images", output=f"{tmp_path}/new/directory"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.npz", "file"]
