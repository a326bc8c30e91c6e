"""Record files of tools/prepare_imagenet.py: the source that reads them, and errors in their metadata."""

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
    assert message.startswith("resolution: ") and "16" in message and "--resolution=32" in message


def test_missing_directory_and_metadata(tmp_path: Path) -> None:
    assert read_error("").startswith("data_dir: ")
    message = read_error(tmp_path, split="validation")
    assert message.startswith("data_dir: ") and str(tmp_path / "validation" / "dataset.json") in message


@pytest.mark.parametrize("text", ["not JSON", "[]", "{}", '{"format": "other", "num_examples": 1}'])
def test_other_metadata(tmp_path: Path, text: str) -> None:
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "dataset.json").write_text(text)
    message = read_error(tmp_path)
    assert "sagan_tf.tfrecord.1" in message
    assert ("remove" in message) == (text == "not JSON")  # any other file may belong to another program


def test_metadata_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "train" / "dataset.json").mkdir(parents=True)
    message = read_error(tmp_path)
    assert message.startswith("data_dir: cannot read") and "check its permissions" in message


def test_metadata_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    build_record_files(tmp_path)
    path = tmp_path / "train" / "dataset.json"
    expected, text = TFRecordMetadata.read(str(path.parent)), path.read_text(encoding="utf-8")
    path.write_text(text, encoding="utf-8-sig")
    assert TFRecordMetadata.read(str(path.parent)) == expected
    path.write_text(text, encoding="utf-16")
    assert "UTF-16" in read_error(tmp_path)
    path.write_text(text.replace("sagan_tf.tfrecord.1", "sagan_tf.tfrecord.2"))
    message = read_error(tmp_path)
    assert "'sagan_tf.tfrecord.2'" in message and "remove" not in message


def test_a_missing_record_file(tmp_path: Path) -> None:
    build_record_files(tmp_path)
    path = sorted((tmp_path / "train").glob("*.tfrecord"))[1]
    path.unlink()
    message = read_error(tmp_path)
    assert message.startswith("data_dir: ") and str(path) in message and "1 of 3" in message


@pytest.mark.parametrize(
    "change",
    [
        {"resolution": "16"},
        {"resolution": -1},
        {"image_channels": True},
        {"class_counts": [5, 5, 10**30]},
        {"class_counts": [5, 5]},
        {"class_names": ["a", "b", 3]},
        {"class_names": ["a", "b", "c", "d"]},
        {"split": None},
        {"files": [["a", -1]]},
        {"files": [["a", "5"]]},
        {"files": [[["a"], 5]]},
        {"files": 3},
        {"more": 3},
    ],
)
def test_rejects_invalid_metadata(tmp_path: Path, change: dict[str, Any]) -> None:
    build_record_files(tmp_path)
    path = tmp_path / "train" / "dataset.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    message = read_error(tmp_path)
    assert message.startswith("data_dir: ") and str(path) in message


def test_class_names_that_are_not_text_are_kept(tmp_path: Path) -> None:
    build_record_files(tmp_path)
    metadata = TFRecordMetadata.read(str(tmp_path / "train"))
    renamed = dataclasses.replace(metadata, class_names=("caf\udce9", "猫", "c"))
    renamed.write(str(tmp_path / "train"))
    assert TFRecordMetadata.read(str(tmp_path / "train")) == renamed
