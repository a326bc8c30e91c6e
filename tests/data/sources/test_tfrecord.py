"""Record files of tools/prepare_imagenet.py: the source that reads them, and errors in their metadata."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from sagan_tf.config import DataConfig
from sagan_tf.data.sources.registry import open_source
from sagan_tf.data.sources.source import Source
from sagan_tf.data.sources.tfrecord import TFRecordMetadata
from sagan_tf.errors import UserError
from tests.data.sample_folders import build_record_files


def open_records(data_dir: Path | str, *, resolution: int = 16, split: str = "train") -> Source:
    config = DataConfig(dataset="tfrecord", data_dir=str(data_dir), split=split)
    return open_source(config, resolution=resolution, image_channels=3)


def read_error(data_dir: Path | str, **options: Any) -> str:
    with pytest.raises(UserError) as caught:
        open_records(data_dir, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_unlabeled_images(one_record_file: Path) -> None:
    source = open_records(one_record_file)
    assert source.class_names == ()
    assert source.class_counts.shape == (0,)
    assert {int(example["label"]) for example in source.examples(seed=0, position=0).take(17)} == {0}


def test_rejects_a_resolution_above_that_of_the_stored_images(record_files: Path) -> None:
    assert open_records(record_files, resolution=8).resolution == 8
    message = read_error(record_files, resolution=32)
    assert message.startswith("resolution: expected at most 16, at which the images")
    assert message.endswith("tools/prepare_imagenet.py --resolution=32 and another --output")


def test_empty_data_dir() -> None:
    assert read_error("").startswith("data_dir: ") and "tools/prepare_imagenet.py" in read_error("")


def test_no_metadata(tmp_path: Path) -> None:
    message = read_error(tmp_path, split="validation")
    assert message.startswith(f"data_dir: {tmp_path / 'validation' / 'dataset.json'} does not exist")
    assert "--split" in message


def test_metadata_that_cannot_be_written(record_files: Path, tmp_path: Path) -> None:
    with pytest.raises(OSError, match="nowhere"):
        TFRecordMetadata.read(str(record_files / "train")).write(str(tmp_path / "nowhere"))


@pytest.mark.parametrize("text", ["not JSON", "[]", "{}", '{"format": "other", "num_examples": 1}'])
def test_other_metadata(tmp_path: Path, text: str) -> None:
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "dataset.json").write_text(text)
    message = read_error(tmp_path)
    assert "in the format sagan_tf.tfrecord.1, received" in message
    assert ("remove the directory" in message) == (text == "not JSON")  # any other file may belong to another program


def test_metadata_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    build_record_files(tmp_path)
    path = tmp_path / "train" / "dataset.json"
    expected, text = TFRecordMetadata.read(str(path.parent)), path.read_text(encoding="utf-8")
    path.write_text(text, encoding="utf-8-sig")
    assert TFRecordMetadata.read(str(path.parent)) == expected
    path.write_text(text, encoding="utf-16")
    assert "dataset.json is UTF-16" in read_error(tmp_path)


def test_metadata_of_a_newer_format(tmp_path: Path) -> None:
    build_record_files(tmp_path)
    path = tmp_path / "train" / "dataset.json"
    path.write_text(path.read_text().replace("sagan_tf.tfrecord.1", "sagan_tf.tfrecord.2"))
    message = read_error(tmp_path)
    assert "received 'sagan_tf.tfrecord.2'; read it with the version" in message and "remove" not in message


def test_a_missing_record_file(tmp_path: Path) -> None:
    build_record_files(tmp_path)
    path = sorted((tmp_path / "train").glob("*.tfrecord"))[1]
    path.unlink()
    message = read_error(tmp_path)
    assert message.startswith("data_dir: ") and f"{path} does not exist (1 of 3 are missing)" in message
    assert message.endswith(f"remove the directory {path.parent} and prepare the data set again")


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"resolution": "16"}, "numbers out of range"),
        ({"resolution": -1}, "numbers out of range"),
        ({"image_channels": True}, "numbers out of range"),
        ({"class_counts": [5, 5, 10**30]}, "numbers out of range"),
        ({"class_counts": [5, 5]}, "different lengths"),
        ({"class_names": ["a", "b", 3]}, "names that are not text"),
        ({"class_names": ["a", "b", "c", "d"]}, "different lengths"),
        ({"split": None}, "names that are not text"),
        ({"files": [["a", -1]]}, "numbers out of range"),
        ({"files": [["a", "5"]]}, "numbers out of range"),
        ({"files": [[7, 5]]}, "names that are not text"),
        ({"files": [[["a"], 5]]}, "TypeError"),
        ({"files": [["../a", 5]]}, "files in other directories"),
        ({"files": 3}, "TypeError"),
        ({"more": 3}, "TypeError"),
    ],
)
def test_rejects_invalid_metadata(tmp_path: Path, change: dict[str, Any], problem: str) -> None:
    build_record_files(tmp_path)
    path = tmp_path / "train" / "dataset.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    message = read_error(tmp_path)
    assert message.startswith(f"data_dir: expected {path} in the format sagan_tf.tfrecord.1, received")
    assert problem in message


def test_class_names_that_are_not_text_are_kept(tmp_path: Path) -> None:
    build_record_files(tmp_path)
    metadata = TFRecordMetadata.read(str(tmp_path / "train"))
    renamed = dataclasses.replace(metadata, class_names=("caf\udce9", "猫", "c"))
    renamed.write(str(tmp_path / "train"))
    assert TFRecordMetadata.read(str(tmp_path / "train")) == renamed
