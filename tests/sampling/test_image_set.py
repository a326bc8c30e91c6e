"""Tests of sets of images and their records."""

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
        (2, (), ("0", "1")),
        (11, (), tuple(f"{label:02d}" for label in range(11))),
        (10, (), tuple("0123456789")),
        (0, (), ()),
        (3, ("bat", "Bat", "owl"), ("0", "1", "2")),
        (3, ("a", "a", "b"), ("0", "1", "2")),
    ],
)
def test_class_directories(num_classes, names, expected):
    assert choose_class_directories(num_classes, names) == expected


def test_unsafe_names_are_replaced():
    for name in ("b/c", "..", ".hidden", "b\\c", "b:c", "b\n", "b.", "b ", "", "b" * 101, "aux", "seeds_1"):
        assert choose_class_directories(3, ("a", name, "d")) == ("0", "1", "2"), name


def test_a_record_is_read_as_it_was_written(tmp_path):
    path = tmp_path / "seeds_10_14.json"
    path.write_text(json.dumps(SET.make_record(range(10, 15), complete=False)))
    assert read_record(path) == (SET, range(10, 15), False)


@pytest.mark.parametrize("name", ["..", "../b", "/b", "b/../..", "", "."])
def test_records_with_unsafe_directories_are_rejected(name, tmp_path):
    """With such a record, --overwrite would remove files of other programs."""
    record = SET.make_record(range(10, 21), complete=True)
    record["folders"][2] = name
    assert_rejected(json.dumps(record), tmp_path)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", "null", '{"seeds": [1], "complete": true}'])
def test_damaged_records_are_rejected(text, tmp_path):
    assert_rejected(text, tmp_path)


def assert_rejected(text: str, directory: pathlib.Path) -> None:
    path = directory / "seeds_0_1.json"
    path.write_text(text)
    with pytest.raises(UserError, match=f"^output: .*{path}"):
        read_record(path)
