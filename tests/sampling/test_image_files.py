"""Tests of writing images to a directory, in shards and after interruptions."""

import dataclasses
import io
import json

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from sagan_tf.sampling import image_files
from tests.sampling.gray_images import SET, Draw, draw, make_recording_draw, read_error, read_files, read_pngs, write


def make_interrupted_draw(batches: int) -> Draw:
    """Return a function that fails after some batches, as if the program had ended."""
    remaining = iter(range(batches))

    def interrupted_draw(seeds: np.ndarray, labels: np.ndarray) -> tf.Tensor:
        if next(remaining, None) is None:
            raise RuntimeError("ended")
        return draw(seeds, labels)

    return interrupted_draw


def test_each_seed_is_written_once_to_the_directory_of_its_class(tmp_path):
    assert write(tmp_path / "a") == 11
    expected = {f"{SET.folders[(2, 0)[seed % 2]]}/{seed:08d}.png": seed for seed in range(10, 21)}
    found = read_files(tmp_path / "a")
    record = json.loads(found.pop("seeds_10_20.json"))
    assert found.keys() == expected.keys()
    for name, seed in expected.items():
        pixels = np.asarray(Image.open(io.BytesIO(found[name])))
        assert pixels.ravel().tolist() == [seed, (2, 0)[seed % 2], seed + (2, 0)[seed % 2], 0]
    assert record["seeds"] == [10, 21] and record["complete"] is True and record["generator"] == "run, step 2"


def test_images_without_classes_have_no_subdirectories(tmp_path):
    write(tmp_path / "a", dataclasses.replace(SET, labels=(0,), folders=(), first_seed=0, count=2))
    assert sorted(read_files(tmp_path / "a")) == ["00000000.png", "00000001.png", "seeds_0_1.json"]


@pytest.mark.parametrize("num_shards", [1, 2, 3, 4, 11, 13])
def test_shards_together_are_the_whole_set(num_shards, tmp_path):
    write(tmp_path / "whole")
    counts = [write(tmp_path / "shards", shard=shard, num_shards=num_shards) for shard in reversed(range(num_shards))]
    assert sum(counts) == 11 and max(counts) - min(counts) <= 1
    assert read_pngs(tmp_path / "shards") == read_pngs(tmp_path / "whole")


def test_removed_images_are_written_again(tmp_path):
    write(tmp_path)
    before = read_files(tmp_path)
    for seed in (12, 17):
        (tmp_path / SET.get_path(seed)).unlink()
    assert write(tmp_path) == 2
    assert read_files(tmp_path) == before
    assert "10 to 20" in read_error(tmp_path)


@pytest.mark.parametrize("batches", [0, 1, 3])
def test_an_interrupted_shard_continues(batches, tmp_path):
    write(tmp_path / "whole")
    with pytest.raises(RuntimeError, match="^ended$"):
        write(tmp_path / "parts", draw=make_interrupted_draw(batches))
    existing = read_pngs(tmp_path / "parts")
    assert len(existing) == 2 * batches
    assert json.loads((tmp_path / "parts" / "seeds_10_20.json").read_text())["complete"] is False
    drawn, record_and_draw = make_recording_draw()
    assert write(tmp_path / "parts", draw=record_and_draw) == 11 - 2 * batches == len(drawn)
    assert not {f"{seed:08d}.png" for seed in drawn} & {name.split("/")[1] for name in existing}
    assert read_files(tmp_path / "parts") == read_files(tmp_path / "whole")


def test_a_partially_written_image_is_written_again(tmp_path):
    with pytest.raises(RuntimeError, match="^ended$"):
        write(tmp_path / "a", draw=make_interrupted_draw(0))
    (tmp_path / "a" / "boot" / "00000011.png.part").write_bytes(b"half")
    write(tmp_path / "whole")
    write(tmp_path / "a")
    assert read_files(tmp_path / "a") == read_files(tmp_path / "whole")


def test_writing_continues_after_a_full_disk(tmp_path, monkeypatch):
    write_bytes = image_files.os.write
    monkeypatch.setattr(image_files.os, "write", lambda file, content: write_bytes(file, content[:20]))
    directory = tmp_path / "a"
    message = read_error(directory)
    assert str(directory) in message and "no space left" in message
    assert read_pngs(directory) == {}
    monkeypatch.undo()
    assert write(directory) == 11
    write(tmp_path / "whole")
    assert read_pngs(directory) == read_pngs(tmp_path / "whole")
