"""Progress over shards and restarts."""

from __future__ import annotations

from pathlib import Path

import pytest

from sagan_tf.config import DataConfig
from sagan_tf.data.sources.registry import open_source
from sagan_tf.data.sources.source import Source
from sagan_tf.errors import UserError
from tests.data.sample_folders import build_class_directories
from tools.preparation.progress import Progress
from tools.preparation.unfinished import FinishedShard


@pytest.fixture
def source(tmp_path: Path) -> Source:
    build_class_directories(tmp_path, images_per_class=100)
    return open_source(DataConfig(dataset="folder", data_dir=str(tmp_path)), resolution=8, image_channels=3)


def make_finished_shard(index: int, skipped: dict[str, str] | None = None) -> FinishedShard:
    return FinishedShard(index, "x", 1, num_records=50, num_images=49, class_counts=(24, 25), skipped=skipped or {})


def test_only_finished_shards_count(source: Source, capsys: pytest.CaptureFixture[str]) -> None:
    progress = Progress(source, {0: make_finished_shard(0)})
    progress.observe(1, 16, {})
    assert str(progress) == "50 of 200 images are finished"
    progress.observe(1, 32, {})
    progress.finish(make_finished_shard(1))
    assert str(progress) == "100 of 200 images are finished"
    assert set(progress.finished) == {0, 1}
    progress.close()
    assert "100/200" in capsys.readouterr().err


def test_unreadable_images_count_once_across_shards_and_restarts(source: Source) -> None:
    progress = Progress(source, {0: make_finished_shard(0, {"a": "cut short"})})
    progress.observe(1, 16, {"b": "cut short"})
    progress.finish(make_finished_shard(1, {"b": "cut short"}))
    assert source.skipped.names == ("a", "b")
    with pytest.raises(UserError, match="3 of 200 .*c: the reason"):
        progress.observe(2, 16, {"c": "the reason"})
    progress.close()
