"""Tests of sets of images and their records."""

from __future__ import annotations

import json
import pathlib

import pytest

from sagan_tf.errors import UserError
from sagan_tf.sampling.image_set import choose_class_directories, read_record
from tests.sampling.gray_images import SET


@pytest.mark.parametrize(
    ("num_classes", "names", "expected"),
    [
        (3, ("boot", "Ankle boot", "日本"), ("boot", "Ankle boot", "日本")),
        (3, ("a", "b/c", "d"), ("0", "1", "2")),
        (3, ("a", "..", "d"), ("0", "1", "2")),
        (3, ("a", ".hidden", "d"), ("0", "1", "2")),
        (3, ("a", "b\\c", "d"), ("0", "1", "2")),
        (3, ("a", "b:c", "d"), ("0", "1", "2")),
        (3, ("a", "b\n", "d"), ("0", "1", "2")),
        (3, ("a", "b.", "d"), ("0", "1", "2")),
        (3, ("a", "b ", "d"), ("0", "1", "2")),
        (3, ("a", "", "d"), ("0", "1", "2")),
        (3, ("a", "b" * 101, "d"), ("0", "1", "2")),
        (3, ("bat", "Bat", "owl"), ("0", "1", "2")),
        (3, ("a", "a", "b"), ("0", "1", "2")),
        (2, (), ("0", "1")),
        (11, (), tuple(f"{label:02d}" for label in range(11))),
        (10, (), tuple("0123456789")),
        (0, (), ()),
    ],
)
def test_class_directories(num_classes: int, names: tuple[str, ...], expected: tuple[str, ...]) -> None:
    assert choose_class_directories(num_classes, names) == expected


@pytest.mark.parametrize("num_shards", [1, 2, 3, 4, 11, 13])
def test_shards_contain_each_seed_once(num_shards: int) -> None:
    seeds = [seed for shard in range(num_shards) for seed in SET.get_shard_seeds(shard, num_shards)]
    assert seeds == list(range(10, 21))


def test_a_record_is_read_as_it_was_written(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "seeds_10_14.json"
    path.write_text(json.dumps(SET.make_record(range(10, 15), complete=False)))
    assert read_record(path) == (SET, range(10, 15), False)


@pytest.mark.parametrize("name", ["..", "../b", "/b", "b/../..", "", "."])
def test_records_with_unsafe_directories_are_rejected(name: str, tmp_path: pathlib.Path) -> None:
    """With such a record, --overwrite would remove files of other programs."""
    path = tmp_path / "seeds_10_20.json"
    record = SET.make_record(range(10, 21), complete=True)
    record["folders"][2] = name
    path.write_text(json.dumps(record))
    with pytest.raises(UserError, match=f"^output: .*{path}"):
        read_record(path)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", "null", '{"seeds": [1], "complete": true}'])
def test_damaged_records_are_rejected(text: str, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "seeds_0_1.json"
    path.write_text(text)
    with pytest.raises(UserError, match=f"^output: .*{path}"):
        read_record(path)
