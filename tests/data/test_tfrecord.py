"""Our record files: the tool that writes them, the source that reads them, and what is wrong with them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from sagan_tf.config import DataConfig
from sagan_tf.data.source import Source
from sagan_tf.data.sources import open_source
from sagan_tf.errors import UserError
from tests.data.sample_folders import build_class_folders, build_record_files, image_colour
from tools.prepare_imagenet import main


def open_records(data_dir: Path | str, *, resolution: int = 16, split: str = "train") -> Source:
    config = DataConfig(dataset="tfrecord", data_dir=str(data_dir), split=split)
    return open_source(config, resolution=resolution, image_channels=3)


def complaint(data_dir: Path | str, **options: Any) -> str:
    with pytest.raises(UserError) as caught:
        open_records(data_dir, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def prepare(source: Path, output: Path, *options: str) -> int:
    return main(["--dataset=folder", f"--data_dir={source}", f"--output={output}", "--resolution=16", *options])


@pytest.mark.parametrize(("image_format", "tolerance"), [("jpeg", 3), ("png", 0)])
def test_the_tool_stores_every_image_with_its_label(
    class_folders: Path, tmp_path: Path, image_format: str, tolerance: int
) -> None:
    assert prepare(class_folders, tmp_path, f"--format={image_format}", "--num_shards=5") == 0
    source = open_records(tmp_path)
    assert source.class_names == ("cat", "dog")
    np.testing.assert_array_equal(source.class_counts, [6, 6])
    examples = list(source.examples(seed=0, position=0).take(12).as_numpy_iterator())
    originals = {Path(example["name"].decode().rsplit("(", 1)[1].rstrip(")")) for example in examples}
    assert originals == set(class_folders.glob("*/*.png"))
    for example in examples:
        original = Path(example["name"].decode().rsplit("(", 1)[1].rstrip(")"))
        assert original.parent.name == source.class_names[example["label"]]
        expected = image_colour(example["label"], int(original.stem))
        assert np.abs(example["image"].astype(int) - expected).max() <= tolerance


def test_the_metadata_says_what_is_there(class_folders: Path, tmp_path: Path) -> None:
    assert prepare(class_folders, tmp_path, "--num_shards=5") == 0
    metadata = json.loads((tmp_path / "train" / "dataset.json").read_text())
    assert (metadata["num_examples"], metadata["resolution"], metadata["image_channels"]) == (12, 16, 3)
    assert metadata["class_counts"] == [6, 6]
    assert [count for _, count in metadata["files"]] == [3, 3, 2, 2, 2]
    for name, count in metadata["files"]:
        records = list(tf.data.TFRecordDataset(str(tmp_path / "train" / name)))
        assert len(records) == count


def test_files_mix_the_classes(class_folders: Path, tmp_path: Path) -> None:
    """A folder is ordered by class; a file of one class only would defeat a shuffle buffer."""
    assert prepare(class_folders, tmp_path, "--num_shards=2") == 0
    for path in (tmp_path / "train").glob("*.tfrecord"):
        records = [tf.train.Example.FromString(record.numpy()) for record in tf.data.TFRecordDataset(str(path))]
        assert len({record.features.feature["label"].int64_list.value[0] for record in records}) == 2


def test_the_tool_leaves_out_damaged_images(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    build_class_folders(tmp_path / "images", images_per_class=60)
    (tmp_path / "images" / "dog" / "000.png").write_bytes(b"no image")
    assert prepare(tmp_path / "images", tmp_path / "records") == 0
    assert "119 images of 2 classes in 1 files; 1 unreadable images left out" in capsys.readouterr().out
    source = open_records(tmp_path / "records")
    np.testing.assert_array_equal(source.class_counts, [60, 59])


def test_the_tool_leaves_nothing_when_it_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    build_class_folders(tmp_path / "images")
    (tmp_path / "images" / "dog" / "000.png").write_bytes(b"no image")
    assert prepare(tmp_path / "images", tmp_path / "records") == 2
    assert "at most 1% unreadable images" in capsys.readouterr().err
    assert list((tmp_path / "records").iterdir()) == []


def test_the_tool_does_not_overwrite(class_folders: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "train").mkdir()
    assert prepare(class_folders, tmp_path) == 2
    expected = "tools/prepare_imagenet.py: error: --output: expected a folder without train in it"
    assert capsys.readouterr().err.startswith(expected)
    assert list((tmp_path / "train").iterdir()) == []


def test_the_tool_says_when_it_cannot_write(
    class_folders: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    assert prepare(class_folders, tmp_path / "file" / "records") == 2
    assert capsys.readouterr().err.startswith("tools/prepare_imagenet.py: error: --output: cannot write")


@pytest.mark.parametrize("option", ["--image_channels=4", "--quality=0", "--resolution=0", "--num_shards=-1"])
def test_the_tool_refuses_senseless_options(class_folders: Path, tmp_path: Path, option: str) -> None:
    with pytest.raises(SystemExit) as caught:
        prepare(class_folders, tmp_path, option)
    assert caught.value.code == 2


def test_the_tool_reads_tfds(miniature_imagenet: Path, tmp_path: Path) -> None:
    options = ["--dataset=imagenet2012", f"--data_dir={miniature_imagenet}", f"--output={tmp_path}", "--resolution=16"]
    assert main(options) == 0
    source = open_records(tmp_path)
    assert source.num_examples == 18
    assert len(source.class_names) == 1000
    np.testing.assert_array_equal(source.class_counts[:4], [6, 6, 6, 0])


def test_unlabelled_images(one_record_file: Path) -> None:
    source = open_records(one_record_file)
    assert source.class_names == ()
    assert source.class_counts.shape == (0,)
    assert {int(example["label"]) for example in source.examples(seed=0, position=0).take(17)} == {0}


def test_refuses_to_enlarge(record_files: Path) -> None:
    assert open_records(record_files, resolution=8).resolution == 8
    message = complaint(record_files, resolution=32)
    assert message.startswith("resolution: expected at most 16, at which the images")
    assert message.endswith("tools/prepare_imagenet.py --resolution=32")


def test_no_folder_named() -> None:
    assert "data_dir: expected the folder that tools/prepare_imagenet.py wrote, received none" in complaint("")


def test_no_metadata(tmp_path: Path) -> None:
    message = complaint(tmp_path, split="validation")
    assert message.startswith(f"data_dir: expected {tmp_path / 'validation' / 'dataset.json'}")
    assert "check --data_dir and --split" in message


@pytest.mark.parametrize("text", ["no JSON", "[]", "{}", '{"format": "other", "num_examples": 1}'])
def test_other_metadata(tmp_path: Path, text: str) -> None:
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "dataset.json").write_text(text)
    assert "in the format sagan_tf.tfrecord.1, received" in complaint(tmp_path)


def test_metadata_of_a_later_format(tmp_path: Path) -> None:
    build_record_files(tmp_path)
    path = tmp_path / "train" / "dataset.json"
    path.write_text(path.read_text().replace("sagan_tf.tfrecord.1", "sagan_tf.tfrecord.2"))
    assert complaint(tmp_path).endswith("received 'sagan_tf.tfrecord.2'")


def test_a_missing_record_file(tmp_path: Path) -> None:
    build_record_files(tmp_path)
    path = sorted((tmp_path / "train").glob("*.tfrecord"))[1]
    path.unlink()
    assert complaint(tmp_path) == (
        f"data_dir: expected the record file {path}, which does not exist (1 of 3 are missing); "
        "prepare the data set again"
    )
