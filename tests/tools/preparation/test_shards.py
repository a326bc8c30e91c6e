"""Record file of one shard, and the reports of its progress."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from sagan_tf.config import DataConfig
from sagan_tf.data.sources.registry import open_source
from sagan_tf.errors import UserError
from tests.data.sample_folders import build_class_directories
from tools.preparation import shards
from tools.preparation.shards import Shard, encode_image, write_shard
from tools.preparation.unfinished import lock_unfinished_work


def write_first_of_two(images: Path, output: Path, reports: list[Any]) -> Any:
    source = open_source(DataConfig(dataset="folder", data_dir=str(images)), resolution=8, image_channels=3)
    with lock_unfinished_work(output) as work:
        work.begin({})
        shard = Shard(0, "first.tfrecord", source.part(0, 2), work, "png", 95)
        finished = write_shard(shard, lambda *done: reports.append(done))
        assert work.begin({}) == {0: finished}
        return finished, work.files


def test_a_shard_and_its_description_agree(tmp_path: Path) -> None:
    build_class_directories(tmp_path / "images", images_per_class=100)
    damaged = tmp_path / "images" / "dog" / "007.png"
    damaged.write_bytes(b"no image")
    reports: list[Any] = []
    finished, files = write_first_of_two(tmp_path / "images", tmp_path / "train", reports)
    records = [
        tf.train.Example.FromString(record.numpy()) for record in tf.data.TFRecordDataset(str(files / "first.tfrecord"))
    ]
    labels = [record.features.feature["label"].int64_list.value[0] for record in records]
    assert finished.class_counts == tuple(np.bincount(labels))
    assert finished.num_images == len(records) == 100 - len(finished.skipped)
    assert (finished.num_records, finished.num_bytes) == (100, (files / "first.tfrecord").stat().st_size)
    assert set(finished.skipped) <= {str(damaged)}
    done = [report[0] for report in reports]
    assert done == sorted(done)
    assert (done[-1], reports[-1][1]) == (100, finished.skipped)


def test_skipped_images_are_reported_before_a_failure(tmp_path: Path) -> None:
    build_class_directories(tmp_path / "images")
    for path in (tmp_path / "images").glob("*/*.png"):
        path.write_bytes(b"no image")
    reports: list[Any] = []
    with pytest.raises(UserError, match="2 of 12"):
        write_first_of_two(tmp_path / "images", tmp_path / "train", reports)
    assert len(reports[-1][1]) == 2


def test_a_full_disk_raises_oserror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class FullDisk(tf.io.TFRecordWriter):
        def write(self, record: bytes) -> None:
            raise tf.errors.ResourceExhaustedError(None, None, "No space left on device")

    build_class_directories(tmp_path / "images")
    monkeypatch.setattr(shards.tf.io, "TFRecordWriter", FullDisk)
    with pytest.raises(OSError, match="No space left on device"):
        write_first_of_two(tmp_path / "images", tmp_path / "train", [])


@pytest.mark.parametrize("image_channels", [1, 3])
def test_jpeg_keeps_colors_at_full_resolution(image_channels: int) -> None:
    image: np.ndarray = np.zeros((32, 32, image_channels), np.uint8)
    image[:, ::2, 0] = 200  # stripes of one pixel, which 4:2:0 would blur
    decoded = np.asarray(Image.open(io.BytesIO(encode_image(image, "jpeg", 95)))).astype(int)
    assert np.abs(decoded.reshape(image.shape) - image).max() <= 16
    assert len(encode_image(image, "jpeg", 50)) < len(encode_image(image, "jpeg", 95))
