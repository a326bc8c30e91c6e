"""Several processes write the same files as one process, and report every failure."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sagan_tf.config import DataConfig
from sagan_tf.data.sources.registry import open_source
from sagan_tf.errors import UserError
from tests.data.sample_folders import build_class_directories
from tools.preparation.shards import Shard
from tools.preparation.unfinished import UnfinishedWork, lock_unfinished_work
from tools.preparation.workers import WorkerError, write_shards

NUM_SHARDS = 5


def iterate_shards(images: Path, work: UnfinishedWork) -> Iterator[Shard]:
    source = open_source(DataConfig(dataset="folder", data_dir=str(images)), resolution=8, image_channels=3)
    for index in range(NUM_SHARDS):
        yield Shard(index, f"{index}.tfrecord", source.part(index, NUM_SHARDS), work, "jpeg", 95)


def write_all_shards(images: Path, output: Path, num_workers: int, observe: Any = lambda *done: None) -> dict[str, Any]:
    """Return the files and descriptions of all shards."""
    with lock_unfinished_work(output) as work:
        work.begin({})
        finished = list(write_shards(iterate_shards(images, work), num_workers, observe))
        notes = {f"note {shard.index}": shard for shard in finished}
        return notes | {path.name: path.read_bytes() for path in work.files.iterdir()}


@pytest.mark.slow  # tests/tools/test_prepare_imagenet.py has a shorter test of this
def test_two_processes_write_the_same_as_one_and_report_skipped_images(tmp_path: Path) -> None:
    images = tmp_path / "images"
    build_class_directories(images, images_per_class=60)
    damaged = images / "dog" / "007.png"
    damaged.write_bytes(b"no image")
    observed: dict[int, int] = {}
    skipped: dict[str, str] = {}

    def observe(index: int, done: int, reasons: dict[str, str]) -> None:
        observed[index] = max(done, observed.get(index, 0))
        skipped.update(reasons)

    both = write_all_shards(images, tmp_path / "two", 2, observe)
    assert both == write_all_shards(images, tmp_path / "one", 1)
    assert observed == dict.fromkeys(range(NUM_SHARDS), 24)
    assert set(skipped) == {str(damaged)}
    assert multiprocessing.active_children() == []


def test_one_worker_writes_in_this_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build_class_directories(tmp_path / "images")
    monkeypatch.setattr(multiprocessing, "get_context", None)
    assert len(write_all_shards(tmp_path / "images", tmp_path / "one", 1)) == 2 * NUM_SHARDS


@pytest.mark.slow
def test_the_signal_that_ends_a_process_is_reported(tmp_path: Path) -> None:
    build_class_directories(tmp_path / "images")

    def observe(*done: object) -> None:
        for process in multiprocessing.active_children():
            process.kill()

    with pytest.raises(WorkerError, match="--num_workers: .*signal 9"):
        write_all_shards(tmp_path / "images", tmp_path / "records", 2, observe)
    assert multiprocessing.active_children() == []


@pytest.mark.slow
def test_the_error_of_another_process_is_raised_here(tmp_path: Path) -> None:
    build_class_directories(tmp_path / "images")
    for path in (tmp_path / "images").glob("*/*.png"):
        path.write_bytes(b"no image")
    with pytest.raises(UserError, match="unreadable images.* 1 of 12"):
        write_all_shards(tmp_path / "images", tmp_path / "records", 2)
    assert multiprocessing.active_children() == []
