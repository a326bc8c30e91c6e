"""Record files at which TensorFlow's reader would crash, block or stop early, and files that it rejects."""

import errno
import os
import struct
import unittest.mock
from collections.abc import Callable
from multiprocessing.reduction import ForkingPickler
from pathlib import Path

import pytest
import tensorflow as tf

from sagan_tf.data.records.damaged_records import SkippedRecords, iterate_record_starts
from sagan_tf.errors import UserError
from tests.faults.untrusted_files import framed

RECORDS = [b"one", b"three " * 9, b""]


def write(path: Path, records: list[bytes] = RECORDS) -> Path:
    with tf.io.TFRecordWriter(str(path)) as writer:
        for record in records:
            writer.write(record)
    return path


def read(*paths: Path, count: int) -> list[bytes]:
    names = tuple(map(str, paths))
    skipped = SkippedRecords(names, 9)
    checked = tf.data.Dataset.from_tensor_slices(list(names)).map(lambda path: skipped.check_file(path, count))
    with skipped.raise_user_errors():
        return list(checked.flat_map(tf.data.TFRecordDataset).as_numpy_iterator())


def read_error(*paths: Path, count: int = 3) -> str:
    """Return the error of files that are checked for `count` records and then read."""
    with pytest.raises(UserError) as caught:
        read(*paths, count=count)
    assert "\n" not in str(caught.value) and str(paths[0].parent) in str(caught.value)
    return str(caught.value)


def check_file(skipped: SkippedRecords, path: str, count: int = 3) -> bytes:
    return tf.function(skipped.check_file, autograph=False)(tf.constant(path), tf.constant(count)).numpy()


def test_intact_files_are_read(tmp_path: Path) -> None:
    path = write(tmp_path / "a")
    assert list(iterate_record_starts(str(path))) == [0, 19, 89]
    for count in (0, 1, 3):
        assert read(path, count=count) == RECORDS


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENOENT])
def test_unreadable_file_is_not_reported_as_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """The advice to remove the data set would destroy it if only its disk is not mounted."""
    skipped = SkippedRecords((str(tmp_path / "a"),), 9)
    monkeypatch.setattr(os, "stat", unittest.mock.Mock(side_effect=OSError(number, os.strerror(number))))
    with pytest.raises(UserError) as caught, skipped.raise_user_errors():
        check_file(skipped, str(tmp_path / "a"))
    assert str(tmp_path / "a") in str(caught.value) and "remove" not in str(caught.value)


def test_file_with_too_few_records(tmp_path: Path) -> None:
    path = write(tmp_path / "a")
    assert f"{path} is damaged: expected 5 records, received 3" in read_error(path, count=5)
    path.write_bytes(b"")
    assert f"{path} is damaged: expected 3 records, received 0" in read_error(path)


@pytest.mark.parametrize(("cut", "at"), [(1, 89), (10, 89), (15, 89), (17, 19), (60, 19)])
def test_truncated_files(tmp_path: Path, cut: int, at: int) -> None:
    """Also within the header of a record, which TensorFlow takes for the end of the file."""
    path = write(tmp_path / "a")
    size = path.stat().st_size - cut
    os.truncate(path, size)
    assert f"{path} is damaged: damaged or truncated at byte {at} of {size}" in read_error(path)


@pytest.mark.parametrize("length", [2**20, 2**33, 2**64 - 1])
def test_impossible_record_length(tmp_path: Path, length: int) -> None:
    """TensorFlow 2.21 crashes (SIGSEGV) at such a length if its checksum is right."""
    path = write(tmp_path / "a")
    content = bytearray(path.read_bytes())
    content[19:27] = struct.pack("<Q", length)
    path.write_bytes(content)
    assert "at byte 19 of 105" in read_error(path)


def test_record_as_long_as_its_sparse_file(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(struct.pack("<Q", 2**40 - 16))
    os.truncate(path, 2**40)
    assert f"at byte 0 of {2**40}" in read_error(path)


@pytest.mark.parametrize("kind", ["pipe", "device", "directory"])
def test_paths_that_are_not_regular_files(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a"
    make: dict[str, Callable[[Path], object]] = {"pipe": os.mkfifo, "directory": Path.mkdir}
    make["device"] = lambda path: path.symlink_to("/dev/zero")
    make[kind](path)
    assert f"{path} is damaged: expected a regular file" in read_error(path)


@pytest.mark.parametrize("place", [2, 20, 31, 88])
def test_error_names_the_file_of_a_damaged_record(tmp_path: Path, place: int) -> None:
    """Several files have records at the same offsets, and TensorFlow does not say which file is damaged."""
    paths = [write(tmp_path / name) for name in "abc"]
    content = bytearray(paths[1].read_bytes())
    content[place] ^= 1
    paths[1].write_bytes(content)
    assert f"{paths[1]} is damaged" in read_error(*paths)


def test_search_for_damage_stops_at_the_damaged_record(tmp_path: Path) -> None:
    """TensorFlow would crash at the length of the record after it."""
    path = tmp_path / "a"
    damaged = bytearray(framed(b"one"))
    damaged[13] ^= 1
    path.write_bytes(damaged + framed(b"three", length=2**40) + framed(b""))
    assert f"{path} is damaged: damaged record at byte 12" in read_error(path, count=1)


def test_file_is_checked_again_only_after_a_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "a")
    skipped = SkippedRecords((str(path),), 9)
    pread = unittest.mock.Mock(side_effect=os.pread)
    monkeypatch.setattr(os, "pread", pread)
    for _ in range(3):
        check_file(skipped, str(path))
    assert pread.call_count == 3
    os.utime(path, ns=(5, 5))
    check_file(skipped, str(path))
    assert pread.call_count == 6


def test_remote_files_are_not_checked() -> None:
    assert check_file(SkippedRecords((), 9), "gs://bucket/a.tfrecord") == b"gs://bucket/a.tfrecord"


def test_other_data_loss_errors_pass_unchanged() -> None:
    """For example the error of a checkpoint."""
    with pytest.raises(tf.errors.DataLossError, match="tensor"), SkippedRecords((), 9).raise_user_errors():
        raise tf.errors.DataLossError(None, None, "a tensor's checksum does not match")


def test_can_be_sent_to_another_process(tmp_path: Path) -> None:
    path = write(tmp_path / "a")
    sent = ForkingPickler.loads(ForkingPickler.dumps(SkippedRecords((str(path),), 9)))
    assert check_file(sent, str(path)) == os.fsencode(path)
