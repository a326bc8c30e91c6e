"""How record files are dealt out, and what is said when they are damaged."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from sagan_tf.config import DataConfig
from sagan_tf.data.pipeline import training_dataset
from sagan_tf.data.records.record_files import RecordFile
from sagan_tf.data.sources.registry import open_source
from sagan_tf.data.sources.sequential import SequentialSource
from sagan_tf.data.sources.tfrecord import TFRecordMetadata, record_parser, serialize_record
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


def open_files(data_dir: Path, stored_at_random: bool = True) -> SequentialSource:
    """Opens what `build_record_files` makes, unlabelled, with a small buffer."""
    metadata = TFRecordMetadata.read(str(data_dir / "train"))
    return SequentialSource(
        tuple(RecordFile(str(data_dir / "train" / name), count) for name, count in metadata.files),
        parse=record_parser(()),
        shuffle_buffer_size=4,
        stored_at_random=stored_at_random,
        name="files",
        class_names=(),
        class_counts=np.zeros(0),
        resolution=4,
        image_channels=1,
    )


def names_by_position(source: SequentialSource, position: int, stop: int, num_shards: int) -> dict[int, bytes]:
    """What all shards read from `position` on, up to `stop`."""
    found: dict[int, bytes] = {}
    for index in range(num_shards):
        own = [place for place in range(position, stop) if place % num_shards == index]
        examples = source.examples(seed=3, position=position, shard_index=index, num_shards=num_shards)
        options = tf.data.Options()
        options.autotune.enabled = False  # An iterator that is dropped waits for the thread that tunes it.
        batches = examples.batch(max(len(own), 1)).with_options(options)  # many times faster than one by one
        batch = next(batches.as_numpy_iterator())
        if own:
            np.testing.assert_array_equal(batch["position"], own)
            found |= dict(zip(own, batch["name"].tolist(), strict=True))
    return found


@pytest.mark.parametrize(
    ("records_per_file", "num_shards", "stored_at_random"),
    [
        ((20, 21), 2, True),
        ((20, 21), 2, False),
        ((39, 40, 41), 3, True),
        ((10, 3, 11, 17), 2, True),
        ((7, 3, 11, 2, 9), 3, True),
        ((6, 6), 2, True),
        ((5,), 3, True),
        ((1, 1), 3, True),
    ],
)
def test_every_image_comes_once_an_epoch_in_one_order(
    records_per_file: tuple[int, ...], num_shards: int, stored_at_random: bool, tmp_path: Path
) -> None:
    """Whatever the sizes of the files; and reading from any position on gives the rest of that order."""
    build_record_files(tmp_path, records_per_file=records_per_file, num_classes=0, resolution=4)
    source = open_files(tmp_path, stored_at_random)
    count = sum(records_per_file)
    names = names_by_position(source, 0, 3 * count, num_shards)
    assert sorted(names) == list(range(3 * count))
    epochs = [[names[position] for position in range(start, start + count)] for start in (0, count, 2 * count)]
    assert [len(set(epoch)) for epoch in epochs] == [count] * 3
    assert count < 3 or len(set(map(tuple, epochs))) > 1
    if not stored_at_random:  # a range of such records would not be a fair sample
        assert names == names_by_position(source, 0, 3 * count, 1)
    for position in (1, count + 1, 2 * count - 1):
        rest = names_by_position(source, position, 3 * count, num_shards)
        assert rest == {place: name for place, name in names.items() if place >= position}


def test_a_shard_of_unequal_files_does_not_read_those_of_others(tmp_path: Path) -> None:
    build_record_files(tmp_path, records_per_file=(20, 21, 20, 20), num_classes=0, resolution=4)
    for path in sorted((tmp_path / "train").glob("*.tfrecord"))[2:]:
        path.unlink()
    examples = open_files(tmp_path).examples(seed=0, position=0, shard_index=0, num_shards=2)
    assert len({example["name"] for example in examples.take(100).as_numpy_iterator()}) == 41


def test_no_records(record_files: Path) -> None:
    with pytest.raises(UserError, match="expected at least one image, received none in nothing"):
        SequentialSource((RecordFile("x", 0),), parse=record_parser(()), shuffle_buffer_size=2, name="nothing")


def test_a_truncated_record_file_stops_with_one_clear_line(tmp_path: Path) -> None:
    build_record_files(tmp_path)
    path = next((tmp_path / "train").glob("*.tfrecord"))
    path.write_bytes(path.read_bytes()[:-20])
    source = open_source(DataConfig(dataset="tfrecord", data_dir=str(tmp_path)), resolution=8, image_channels=3)
    dataset = training_dataset(source, batch_size=4, seed=0, position=0, random_flip=False)
    with pytest.raises(UserError, match="expected intact record files"), source.skipped.raising_user_errors():
        list(dataset.take(8))


def test_records_that_are_no_such_records_are_unreadable_images(tmp_path: Path) -> None:
    build_record_files(tmp_path, records_per_file=(330,))
    path = next((tmp_path / "train").glob("*.tfrecord"))
    records = [record.numpy() for record in tf.data.TFRecordDataset(str(path))]
    records[7] = b"no record \xff\x1b[2J"
    records[8] = serialize_record(b"image", 3, b"of a fourth class")
    records[9] = serialize_record(b"image", 2**32, b"of one that 32 bits cut to 0")
    with tf.io.TFRecordWriter(str(path)) as writer:
        for record in records:
            writer.write(record)
    source = open_source(DataConfig(dataset="tfrecord", data_dir=str(tmp_path)), resolution=8, image_channels=3)
    read = list(source.examples(seed=0, position=0).take(327).as_numpy_iterator())
    assert {int(example["label"]) for example in read} == {0, 1, 2}
    assert source.skipped.reasons == {
        f"{path}#7": "no tf.train.Example (DecodeError)",
        f"{path}#8 (of a fourth class)": "expected a label from 0 to 2, received 3",
        f"{path}#9 (of one that 32 bits cut to 0)": "expected a label from 0 to 2, received 4294967296",
    }


@pytest.mark.parametrize("shard", [{}, {"shard_index": 1, "num_shards": 2}])
def test_files_without_records_are_named_and_not_read_for_ever(tmp_path: Path, shard: dict[str, int]) -> None:
    build_record_files(tmp_path, records_per_file=(5, 5))
    for path in (tmp_path / "train").glob("*.tfrecord"):
        path.write_bytes(b"")
    source = open_source(DataConfig(dataset="tfrecord", data_dir=str(tmp_path)), resolution=8, image_channels=3)
    with pytest.raises(UserError, match="expected 5 records in it, received 0"), source.skipped.raising_user_errors():
        list(source.examples(seed=0, position=0, **shard).take(1))


def test_a_part_names_a_damaged_file_too(tmp_path: Path) -> None:
    build_record_files(tmp_path)
    path = sorted((tmp_path / "train").glob("*.tfrecord"))[1]
    path.write_bytes(path.read_bytes()[:-1] + b"\0")
    source = open_source(DataConfig(dataset="tfrecord", data_dir=str(tmp_path)), resolution=8, image_channels=3)
    part = source.part(1, 3)
    with pytest.raises(UserError, match=f"received {path} with a damaged record"), part.skipped.raising_user_errors():
        list(part.preview(5))


def test_a_stream_in_the_middle_of_an_epoch_reads_what_came_before(tmp_path: Path) -> None:
    build_record_files(tmp_path, records_per_file=(8, 8))
    source = open_source(DataConfig(dataset="tfrecord", data_dir=str(tmp_path)), resolution=4, image_channels=3)
    size = sum(path.stat().st_size for path in tmp_path.rglob("*.tfrecord"))
    assert size > 0
    assert [source.reread_bytes(position) for position in (0, 4, 16, 28)] == [0, size // 4, 0, size * 3 // 4]
