"""Failures of the processes that write shards. test_prepare_imagenet.py compares their files with those of one."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import pytest

from sagan_tf.config import DataConfig
from sagan_tf.data.sources.registry import open_source
from sagan_tf.errors import UserError
from tests.data.sample_folders import build_class_directories
from tools.preparation.shards import Shard
from tools.preparation.unfinished import lock_unfinished_work
from tools.preparation.workers import Observer, WorkerError, write_shards


def write_shards_with_two_workers(images: Path, output: Path, observe: Observer) -> None:
    source = open_source(DataConfig(dataset="folder", data_dir=str(images)), resolution=8, image_channels=3)
    with lock_unfinished_work(output) as work:
        work.begin({})
        shards = (Shard(index, f"{index}.tfrecord", source.part(index, 5), work, "jpeg", 95) for index in range(5))
        list(write_shards(shards, 2, observe))


@pytest.mark.slow
def test_the_signal_that_ends_a_process_is_reported(tmp_path: Path) -> None:
    build_class_directories(tmp_path / "images")

    def observe(*done: object) -> None:
        for process in multiprocessing.active_children():
            process.kill()

    with pytest.raises(WorkerError, match="num_workers: .*signal 9"):
        write_shards_with_two_workers(tmp_path / "images", tmp_path / "records", observe)
    assert multiprocessing.active_children() == []


@pytest.mark.slow
def test_the_error_of_another_process_is_raised_here(tmp_path: Path) -> None:
    build_class_directories(tmp_path / "images")
    for path in (tmp_path / "images").glob("*/*.png"):
        path.write_bytes(b"no image")
    with pytest.raises(UserError, match="unreadable images.* 2 of 12"):
        write_shards_with_two_workers(tmp_path / "images", tmp_path / "records", lambda *done: None)
    assert multiprocessing.active_children() == []
