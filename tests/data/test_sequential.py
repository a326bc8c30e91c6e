"""How record files are dealt out, and what is said when they are damaged."""

from __future__ import annotations

from pathlib import Path

import pytest

from sagan_tf.config import DataConfig
from sagan_tf.data.pipeline import training_dataset
from sagan_tf.data.record_files import RecordFile
from sagan_tf.data.sequential import SequentialSource
from sagan_tf.data.sources import open_source
from sagan_tf.data.tfrecord import parse_records
from sagan_tf.errors import UserError
from tests.data.sample_folders import build_record_files


def test_shards_by_file_read_only_their_own_files(record_files: Path) -> None:
    source = open_source(DataConfig(dataset="tfrecord", data_dir=str(record_files)), resolution=8, image_channels=3)
    files = []
    for index in range(3):
        examples = source.examples(seed=0, position=0, shard_index=index, num_shards=3).take(10)
        files.append({example["name"].split(b"#")[0] for example in examples.as_numpy_iterator()})
    assert [len(paths) for paths in files] == [1, 1, 1]
    assert len(set.union(*files)) == 3


def test_no_records(record_files: Path) -> None:
    with pytest.raises(UserError, match="expected at least one image, received none in nothing"):
        SequentialSource((RecordFile("x", 0),), parse=parse_records, shuffle_buffer_size=2, name="nothing")


def test_a_truncated_record_file_stops_with_one_clear_line(tmp_path: Path) -> None:
    build_record_files(tmp_path)
    path = next((tmp_path / "train").glob("*.tfrecord"))
    path.write_bytes(path.read_bytes()[:-20])
    source = open_source(DataConfig(dataset="tfrecord", data_dir=str(tmp_path)), resolution=8, image_channels=3)
    dataset = training_dataset(source, batch_size=4, seed=0, position=0, random_flip=False)
    with pytest.raises(UserError, match="expected intact record files"), source.skipped.raising_user_errors():
        list(dataset.take(8))
