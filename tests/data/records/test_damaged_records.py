"""Record files that TensorFlow's reader would die of, wait for or take for whole ones; and those that it refuses."""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Callable
from multiprocessing.reduction import ForkingPickler
from pathlib import Path

import pytest
import tensorflow as tf

from sagan_tf.data.records.damaged_records import SkippedRecords, record_starts
from sagan_tf.errors import UserError
from tests.faults.untrusted_files import framed

RECORDS = [b"one", b"three " * 9, b""]


def write(path: Path, records: list[bytes] = RECORDS) -> Path:
    with tf.io.TFRecordWriter(str(path)) as writer:
        for record in records:
            writer.write(record)
    return path


def complaint(*paths: Path, count: int = 3) -> str:
    """What is said of files when each is read after it was checked for `count` records."""
    skipped = SkippedRecords(tuple(map(str, paths)), 9)
    with pytest.raises(UserError) as caught, skipped.raising_user_errors():
        for path in paths:
            dataset = tf.data.Dataset.from_tensors(str(path))
            list(dataset.map(lambda path: skipped.checked(path, count)).flat_map(tf.data.TFRecordDataset))
    message = str(caught.value)
    start = "data: expected intact record files, received "
    end = f"; remove the directory {paths[0].parent} and prepare the data set again"
    assert message.startswith(start) and message.endswith(end) and "\n" not in message
    return message[len(start) : -len(end)]


def read(path: Path, count: int) -> list[bytes]:
    skipped = SkippedRecords((str(path),), 9)
    paths = tf.data.Dataset.from_tensors(str(path)).map(lambda path: skipped.checked(path, count))
    return list(paths.flat_map(tf.data.TFRecordDataset).as_numpy_iterator())


def checked(skipped: SkippedRecords, path: str, count: int = 3) -> bytes:
    return tf.function(skipped.checked, autograph=False)(tf.constant(path), tf.constant(count)).numpy()


def test_intact_files_are_read(tmp_path: Path) -> None:
    path = write(tmp_path / "a")
    assert list(record_starts(str(path))) == [0, 19, 89]
    for count in (0, 1, 3):
        assert read(path, count) == RECORDS


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENOENT])
def test_a_file_that_cannot_be_read_is_not_called_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """To remove the data set would lose it for a disk that is away."""

    def refuse(path: str) -> os.stat_result:
        raise OSError(number, os.strerror(number))

    skipped = SkippedRecords((str(tmp_path / "a"),), 9)
    monkeypatch.setattr(os, "stat", refuse)
    with pytest.raises(UserError) as caught:
        skipped._check(str(tmp_path / "a"), 3)
    assert f"cannot read the record file {tmp_path / 'a'} ({os.strerror(number)})" in str(caught.value)
    assert "remove" not in str(caught.value)


def test_fewer_records_than_there_should_be(tmp_path: Path) -> None:
    path = write(tmp_path / "a")
    assert complaint(path, count=5) == f"{path}: expected 5 records in it, received 3"
    path.write_bytes(b"")
    assert complaint(path) == f"{path}: expected 3 records in it, received 0"


@pytest.mark.parametrize(("cut", "at"), [(1, 89), (10, 89), (15, 89), (17, 19), (60, 19)])
def test_files_that_are_cut_off(tmp_path: Path, cut: int, at: int) -> None:
    """Within the head of a record too, which TensorFlow takes for the end of the file."""
    path = write(tmp_path / "a")
    size = path.stat().st_size - cut
    os.truncate(path, size)
    assert complaint(path) == f"{path}: damaged or cut off at byte {at} of {size}"


@pytest.mark.parametrize("length", [2**20, 2**33, 2**40, 2**62, 2**64 - 1])
def test_a_length_that_cannot_be(tmp_path: Path, length: int) -> None:
    """With its checksum right, TensorFlow 2.21 dies of one: SIGSEGV."""
    path = write(tmp_path / "a")
    content = bytearray(path.read_bytes())
    content[19:27] = struct.pack("<Q", length)
    path.write_bytes(content)
    assert complaint(path) == f"{path}: damaged or cut off at byte 19 of 105"


def test_a_record_as_long_as_its_sparse_file(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(struct.pack("<Q", 2**40 - 16))
    os.truncate(path, 2**40)
    assert complaint(path) == f"{path}: damaged or cut off at byte 0 of {2**40}"


@pytest.mark.parametrize("kind", ["pipe", "device", "folder"])
def test_what_is_no_file(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a"
    make: dict[str, Callable[[Path], object]] = {"pipe": os.mkfifo, "folder": Path.mkdir}
    make["device"] = lambda path: path.symlink_to("/dev/zero")
    make[kind](path)
    assert complaint(path) == f"{path}: expected a file, received a folder, pipe or device"


@pytest.mark.parametrize("place", [2, 20, 31, 88])
def test_a_damaged_record_is_named_by_its_file(tmp_path: Path, place: int) -> None:
    """By the one that is damaged, of several with records in the same places: TensorFlow does not say which."""
    paths = [write(tmp_path / name) for name in "abc"]
    content = bytearray(paths[1].read_bytes())
    content[place] ^= 1
    paths[1].write_bytes(content)
    assert complaint(*paths).startswith(str(paths[1]))


def test_looking_for_the_damage_goes_no_further_than_that(tmp_path: Path) -> None:
    """The record after it has a length of which TensorFlow dies."""
    path = tmp_path / "a"
    damaged = bytearray(framed(b"one"))
    damaged[13] ^= 1
    path.write_bytes(damaged + framed(b"three", length=2**40) + framed(b""))
    assert complaint(path, count=1) == f"{path} with a damaged record at byte 12"


def test_a_file_is_looked_at_once_until_it_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "a")
    skipped = SkippedRecords((str(path),), 9)
    looks: list[int] = []
    real = os.pread
    monkeypatch.setattr(os, "pread", lambda *arguments: looks.append(1) or real(*arguments))
    for _ in range(3):
        checked(skipped, str(path))
    assert len(looks) == 3
    os.utime(path, ns=(5, 5))
    checked(skipped, str(path))
    assert len(looks) == 6


def test_remote_files_are_left_to_tensorflow() -> None:
    assert checked(SkippedRecords((), 9), "gs://bucket/a.tfrecord") == b"gs://bucket/a.tfrecord"


def test_other_damage_passes_unchanged() -> None:
    """That of a checkpoint, for one."""
    with pytest.raises(tf.errors.DataLossError, match="tensor"), SkippedRecords((), 9).raising_user_errors():
        raise tf.errors.DataLossError(None, None, "a tensor's checksum does not match")


def test_a_damaged_record_in_no_file_that_is_known() -> None:
    unnamed = pytest.raises(UserError, match="received one with a damaged record at byte 12")
    with unnamed, SkippedRecords((), 9).raising_user_errors():
        raise tf.errors.DataLossError(None, None, "truncated record at 12")


def test_unreadable_images_in_records_cannot_be_removed_alone(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=f"original data, then remove the directory {tmp_path} and prepare "):
        SkippedRecords((str(tmp_path / "a"),), 9).add("n01.jpg", "cut short")


def test_can_be_sent_to_another_process(tmp_path: Path) -> None:
    path = write(tmp_path / "a")
    sent = ForkingPickler.loads(ForkingPickler.dumps(SkippedRecords((str(path),), 9)))
    assert checked(sent, str(path)) == os.fsencode(path)
