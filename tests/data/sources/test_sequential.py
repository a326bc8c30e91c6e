"""Record files are divided among shards, and damaged ones raise errors that name them."""

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from sagan_tf.config import DataConfig
from sagan_tf.data.records.record_files import RecordFile
from sagan_tf.data.sources.registry import open_source
from sagan_tf.data.sources.sequential import SequentialSource
from sagan_tf.data.sources.tfrecord import TFRecordMetadata, make_record_parser, serialize_record
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


def test_shards_of_unequal_files_read_only_their_own_files(tmp_path: Path) -> None:
    build_record_files(tmp_path, records_per_file=(20, 21, 20, 20), num_classes=0, resolution=4)
    for path in sorted((tmp_path / "train").glob("*.tfrecord"))[2:]:
        path.unlink()
    examples = open_files(tmp_path).examples(seed=0, position=0, shard_index=0, num_shards=2)
    assert len({example["name"] for example in examples.take(100).as_numpy_iterator()}) == 41


def open_files(data_dir: Path, stored_at_random: bool = True) -> SequentialSource:
    """Open the files of `build_record_files` without labels, with a small shuffle buffer."""
    metadata = TFRecordMetadata.read(str(data_dir / "train"))
    return SequentialSource(
        tuple(RecordFile(str(data_dir / "train" / name), count) for name, count in metadata.files),
        parse=make_record_parser(()),
        shuffle_buffer_size=4,
        stored_at_random=stored_at_random,
        name="files",
        class_names=(),
        class_counts=np.zeros(0),
        resolution=4,
        image_channels=1,
    )


def read_names_by_position(source: SequentialSource, position: int, stop: int, num_shards: int) -> dict[int, bytes]:
    """Return the names that all shards read from `position` up to `stop`."""
    found: dict[int, bytes] = {}
    for index in range(num_shards):
        own = [place for place in range(position, stop) if place % num_shards == index]
        examples = source.examples(seed=3, position=position, shard_index=index, num_shards=num_shards)
        options = tf.data.Options()
        options.autotune.enabled = False  # deleting an iterator waits for the autotune thread
        batches = examples.batch(max(len(own), 1)).with_options(options)  # many times faster than single examples
        batch = next(batches.as_numpy_iterator())
        if own:
            np.testing.assert_array_equal(batch["position"], own)
            found |= dict(zip(own, batch["name"].tolist(), strict=True))
    return found


@pytest.mark.parametrize(
    ("records_per_file", "num_shards", "stored_at_random"),
    [
        pytest.param((20, 21), 2, True, marks=pytest.mark.slow),
        pytest.param((20, 21), 2, False, marks=pytest.mark.slow),
        pytest.param((39, 40, 41), 3, True, marks=pytest.mark.slow),
        pytest.param((10, 3, 11, 17), 2, True, marks=pytest.mark.slow),
        ((7, 3, 11, 2, 9), 3, True),
        pytest.param((5,), 3, True, marks=pytest.mark.slow),
        ((1, 1), 3, True),
    ],
)
def test_every_image_comes_once_per_epoch_in_a_reproducible_order(
    records_per_file: tuple[int, ...], num_shards: int, stored_at_random: bool, tmp_path: Path
) -> None:
    """For any sizes of the files. Reading from any position gives the rest of the same order."""
    build_record_files(tmp_path, records_per_file=records_per_file, num_classes=0, resolution=4)
    source = open_files(tmp_path, stored_at_random)
    count = sum(records_per_file)
    names = read_names_by_position(source, 0, 3 * count, num_shards)
    assert sorted(names) == list(range(3 * count))
    epochs = [[names[position] for position in range(start, start + count)] for start in (0, count, 2 * count)]
    assert [len(set(epoch)) for epoch in epochs] == [count] * 3
    assert count < 3 or len(set(map(tuple, epochs))) > 1
    if not stored_at_random:  # a range of such records would not be a fair sample
        assert names == read_names_by_position(source, 0, 3 * count, 1)
    for position in (1, 2 * count - 1):
        rest = read_names_by_position(source, position, 3 * count, num_shards)
        assert rest == {place: name for place, name in names.items() if place >= position}


def test_no_records(record_files: Path) -> None:
    with pytest.raises(UserError, match="^split: .*nothing"):
        SequentialSource((RecordFile("x", 0),), parse=make_record_parser(()), shuffle_buffer_size=2, name="nothing")


def test_invalid_records_are_unreadable_images(tmp_path: Path) -> None:
    build_record_files(tmp_path, records_per_file=(330,))
    path = next((tmp_path / "train").glob("*.tfrecord"))
    records = [record.numpy() for record in tf.data.TFRecordDataset(str(path))]
    records[7] = b"not a record \xff\x1b[2J"
    records[8] = serialize_record(b"image", 3, b"of a fourth class")
    records[9] = serialize_record(b"image", 2**32, b"of one that is 0 in 32 bits")
    with tf.io.TFRecordWriter(str(path)) as writer:
        for record in records:
            writer.write(record)
    source = open_source(DataConfig(dataset="tfrecord", data_dir=str(tmp_path)), resolution=8, image_channels=3)
    read = list(source.examples(seed=0, position=0).take(327).as_numpy_iterator())
    assert {int(example["label"]) for example in read} == {0, 1, 2}
    names = (f"{path}#7", f"{path}#8 (of a fourth class)", f"{path}#9 (of one that is 0 in 32 bits)")
    assert tuple(sorted(source.skipped.reasons)) == names


@pytest.mark.parametrize("shard", [{}, {"shard_index": 1, "num_shards": 2}])
def test_files_without_records_raise_a_user_error(tmp_path: Path, shard: dict[str, int]) -> None:
    build_record_files(tmp_path, records_per_file=(5, 5))
    for path in (tmp_path / "train").glob("*.tfrecord"):
        path.write_bytes(b"")
    source = open_source(DataConfig(dataset="tfrecord", data_dir=str(tmp_path)), resolution=8, image_channels=3)
    with pytest.raises(UserError, match="5 .* 0"), source.skipped.raise_user_errors():
        list(source.examples(seed=0, position=0, **shard).take(1))


def test_part_names_a_damaged_file(tmp_path: Path) -> None:
    build_record_files(tmp_path)
    path = sorted((tmp_path / "train").glob("*.tfrecord"))[1]
    path.write_bytes(path.read_bytes()[:-1] + b"\0")
    source = open_source(DataConfig(dataset="tfrecord", data_dir=str(tmp_path)), resolution=8, image_channels=3)
    part = source.part(1, 3)
    with pytest.raises(UserError, match=f"{path} is damaged: damaged record"), part.skipped.raise_user_errors():
        list(part.preview(5))


def test_rereads_the_beginning_of_the_epoch(tmp_path: Path) -> None:
    build_record_files(tmp_path, records_per_file=(8, 8))
    source = open_source(DataConfig(dataset="tfrecord", data_dir=str(tmp_path)), resolution=4, image_channels=3)
    size = sum(path.stat().st_size for path in tmp_path.rglob("*.tfrecord"))
    assert size > 0
    assert [source.count_reread_bytes(position) for position in (0, 4, 16, 28)] == [0, size // 4, 0, size * 3 // 4]


def test_rereads_files_up_to_their_last_chosen_record(tmp_path: Path) -> None:
    """The records 0, 1 and 8 are chosen: the first two of the first file, and the first one of the second file."""
    build_record_files(tmp_path, records_per_file=(8, 8))
    config = DataConfig(dataset="tfrecord", data_dir=str(tmp_path), max_images_per_class=1)
    source = open_source(config, resolution=4, image_channels=3)
    first, second = (path.stat().st_size for path in sorted(tmp_path.rglob("*.tfrecord")))
    assert source.count_reread_bytes(2) == (first * 2 // 8 + second // 8) * 2 // 3
