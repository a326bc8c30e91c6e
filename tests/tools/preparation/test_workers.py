"""Several processes write what one writes, and none of them fails unheard."""

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
from tools.preparation.unfinished import UnfinishedWork, unfinished_work
from tools.preparation.workers import WorkerError, write_shards

NUM_SHARDS = 5


def shards_of(images: Path, work: UnfinishedWork) -> Iterator[Shard]:
    source = open_source(DataConfig(dataset="folder", data_dir=str(images)), resolution=8, image_channels=3)
    for index in range(NUM_SHARDS):
        yield Shard(index, f"{index}.tfrecord", source.part(index, NUM_SHARDS), work, "jpeg", 95)


def written(images: Path, output: Path, num_workers: int, observe: Any = lambda *done: None) -> dict[str, Any]:
    """Files and notes of all shards."""
    with unfinished_work(output) as work:
        work.begin({})
        finished = list(write_shards(shards_of(images, work), num_workers, observe))
        notes = {f"note {shard.index}": shard for shard in finished}
        return notes | {path.name: path.read_bytes() for path in work.files.iterdir()}


@pytest.mark.slow  # the default tests have it from tests/tools/test_prepare_imagenet.py, less closely
def test_two_processes_write_what_one_writes_and_say_what_they_leave_out(tmp_path: Path) -> None:
    images = tmp_path / "images"
    build_class_directories(images, images_per_class=60)
    damaged = images / "dog" / "007.png"
    damaged.write_bytes(b"no image")
    observed: dict[int, int] = {}
    skipped: dict[str, str] = {}

    def observe(index: int, done: int, reasons: dict[str, str]) -> None:
        observed[index] = max(done, observed.get(index, 0))
        skipped.update(reasons)

    both = written(images, tmp_path / "two", 2, observe)
    assert both == written(images, tmp_path / "one", 1)
    assert observed == dict.fromkeys(range(NUM_SHARDS), 24)
    assert set(skipped) == {str(damaged)}
    assert multiprocessing.active_children() == []


def test_one_process_writes_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build_class_directories(tmp_path / "images")
    monkeypatch.setattr(multiprocessing, "get_context", None)
    assert len(written(tmp_path / "images", tmp_path / "one", 1)) == 2 * NUM_SHARDS


@pytest.mark.slow
def test_a_process_that_is_ended_is_named_by_its_signal(tmp_path: Path) -> None:
    build_class_directories(tmp_path / "images")

    def observe(*done: object) -> None:
        for process in multiprocessing.active_children():
            process.kill()

    with pytest.raises(WorkerError, match="received one that ended with signal 9; the same command goes on"):
        written(tmp_path / "images", tmp_path / "records", 2, observe)
    assert multiprocessing.active_children() == []


@pytest.mark.slow
def test_the_error_of_another_process_is_raised_here(tmp_path: Path) -> None:
    build_class_directories(tmp_path / "images")
    for path in (tmp_path / "images").glob("*/*.png"):
        path.write_bytes(b"no image")
    with pytest.raises(UserError, match="at most 1% unreadable images, received 1 of 12"):
        written(tmp_path / "images", tmp_path / "records", 2)
    assert multiprocessing.active_children() == []
