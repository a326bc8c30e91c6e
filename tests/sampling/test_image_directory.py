"""Tests of writing to a directory that has images or other files."""

import concurrent.futures
import dataclasses
import json
from typing import Any

import pytest

from tests.sampling.gray_images import SET, make_recording_draw, read_error, read_files, write


def test_seeds_that_exist_are_rejected(tmp_path):
    directory = tmp_path / "a"
    write(directory, shard=0, num_shards=2)  # 10 to 14
    before = read_files(directory)
    for options in ({"shard": 0, "num_shards": 2}, {}):
        message = read_error(directory, **options)
        assert str(directory) in message and "10 to 14" in message and "--overwrite" in message
    assert "13 to 14" in read_error(directory, shard=1, num_shards=3)
    assert read_files(directory) == before


def test_a_different_set_is_rejected(tmp_path):
    directory = tmp_path / "a"
    write(directory)
    before = read_files(directory)
    changes: dict[str, Any] = {"weights": "different", "truncation": 0.5, "labels": (0, 2), "count": 30}
    changes |= {"first_seed": 100, "folders": ("a", "b", "c")}
    for name, value in changes.items():
        message = read_error(directory, dataclasses.replace(SET, **{name: value}))
        assert str(directory) in message and SET.generator in message and "--overwrite" in message
    assert read_files(directory) == before


def test_overwriting_removes_only_recorded_images(tmp_path):
    directory = tmp_path / "a"
    for shard in range(2):
        write(directory, shard=shard, num_shards=2)
    foreign = {"notes.txt": b"a", "boot/holiday.png": b"b", "boot/00000099.png": b"c"}
    for name, content in foreign.items():
        (directory / name).write_bytes(content)
    different = dataclasses.replace(SET, weights="different", first_seed=12, count=4, labels=(1,))
    assert write(directory, different, overwrite=True) == 4
    expected = {f"bag/{seed:08d}.png" for seed in range(12, 16)} | {"seeds_12_15.json"} | foreign.keys()
    found = read_files(directory)
    assert found.keys() == expected
    assert {name: found[name] for name in foreign} == foreign


def test_a_shard_does_not_overwrite_a_different_set(tmp_path):
    """Other processes may write the shards of that set at the same time."""
    write(tmp_path / "a")
    before = read_files(tmp_path / "a")
    different = dataclasses.replace(SET, weights="different")
    message = read_error(tmp_path / "a", different, shard=0, num_shards=2, overwrite=True)
    assert "--overwrite" in message and read_files(tmp_path / "a") == before


def test_the_name_of_the_generator_does_not_identify_a_set(tmp_path):
    """The directory of a run may be moved. The truncation does identify a set, and is recorded exactly."""
    truncated = dataclasses.replace(SET, truncation=0.1)
    write(tmp_path / "a", truncated, shard=0, num_shards=2)
    assert write(tmp_path / "a", dataclasses.replace(truncated, generator="moved"), shard=1, num_shards=2) == 6


def test_shards_may_start_at_the_same_time(tmp_path):
    many = dataclasses.replace(SET, count=40, folders=tuple(f"class {label}" for label in range(300)))
    with concurrent.futures.ThreadPoolExecutor(8) as threads:
        shards = [threads.submit(write, tmp_path / "a", many, shard=shard, num_shards=8) for shard in range(8)]
    assert sum(shard.result() for shard in shards) == 40
    assert len(list((tmp_path / "a").glob("*/*.png"))) == 40


def test_overwriting_a_shard_keeps_further_shards_of_the_set(tmp_path):
    directory = tmp_path / "a"
    for shard in range(2):
        write(directory, shard=shard, num_shards=2)
    before = read_files(directory)
    (directory / SET.get_path(10)).write_bytes(b"damaged")
    drawn, record_and_draw = make_recording_draw()
    assert write(directory, draw=record_and_draw, shard=0, num_shards=2, overwrite=True) == 5
    assert sorted(drawn) == [10, 11, 12, 13, 14] and read_files(directory) == before


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_directory_with_foreign_files_is_rejected(overwrite, tmp_path):
    (tmp_path / "a.txt").write_text("content")
    assert str(tmp_path) in read_error(tmp_path, overwrite=overwrite)
    assert f"{tmp_path}/a.txt" in read_error(tmp_path / "a.txt", overwrite=overwrite)
    assert read_files(tmp_path) == {"a.txt": b"content"}


def test_an_unsafe_record_removes_nothing(tmp_path):
    directory = tmp_path / "a"
    write(directory)
    path = directory / "seeds_10_20.json"
    record = json.loads(path.read_text())
    record["folders"][2] = ".."
    path.write_text(json.dumps(record))
    before = read_files(tmp_path)
    assert str(path) in read_error(directory, overwrite=True)
    assert read_files(tmp_path) == before
