"""Ranges of record files: every record is in exactly one part, and is read and named correctly."""

import dataclasses
import itertools
import os
from collections.abc import Callable
from pathlib import Path

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies

from sagan_tf.data.records import record_files
from sagan_tf.data.records.damaged_records import SkippedRecords
from sagan_tf.data.records.file_errors import check_files_exist
from sagan_tf.data.records.record_files import RecordFile, read_records_in_order
from sagan_tf.errors import UserError

Files = tuple[RecordFile, ...]


def list_records(files: Files) -> list[tuple[str, int]]:
    """Return (path, number) of every record, by the definition of a range."""
    found = []
    for file in files:
        for counted in (file.skip + file.step * k for k in range(file.num_examples)):
            found.append((file.path, counted if file.numbers is None else int(file.numbers[counted])))
    return found


FILES = strategies.lists(
    strategies.builds(
        RecordFile,
        path=strategies.sampled_from("abc"),
        num_examples=strategies.integers(0, 20),
        skip=strategies.integers(0, 5),
        step=strategies.integers(1, 3),
    ),
    max_size=4,
).map(tuple)


@hypothesis.given(files=FILES, count=strategies.integers(1, 7))
@pytest.mark.parametrize("take_part", [record_files.take_consecutive_part, record_files.take_strided_part])
def test_parts_hold_every_record_once(take_part: Callable[..., Files], files: Files, count: int) -> None:
    parts = [list_records(take_part(files, index, count)) for index in range(count)]
    whole = list_records(files)
    if take_part is record_files.take_consecutive_part:
        assert list(itertools.chain(*parts)) == whole
    else:
        assert parts == [whole[index::count] for index in range(count)]
    lengths = list(map(len, parts))
    assert max(lengths) - min(lengths) <= 1
    assert lengths == [record_files.count_records(take_part(files, index, count)) for index in range(count)]


def test_ranges_are_read_and_named(record_files_of_five: list[str]) -> None:
    first, second, _ = record_files_of_five
    ranges = (RecordFile(first, 2, skip=3), RecordFile(second, 2), RecordFile(first, 2, skip=1, step=3))
    check = SkippedRecords((first, second), 6).check_file
    read = next(read_records_in_order(ranges, check).batch(9).as_numpy_iterator())
    names = record_files.format_record_names(ranges, read[0], read[1]).numpy()
    assert [name.decode() for name in names] == [
        f"{first}#3", f"{first}#4", f"{second}#0", f"{second}#1", f"{first}#1", f"{first}#4"
    ]  # fmt: skip
    # Every record stores its number in the whole data set, with 5 records in each file.
    assert [int(record.split(b"image_")[1]) for record in read[2]] == [3, 4, 5, 6, 1, 4]


@pytest.fixture
def record_files_of_five(record_files: Path) -> list[str]:
    return [str(path) for path in sorted((record_files / "train").glob("*.tfrecord"))]


def test_missing_files_are_counted(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"data_dir: .*/a .*2 of 2"):
        check_files_exist((RecordFile(str(tmp_path / "a"), 1), RecordFile(str(tmp_path / "b"), 1)))


def test_digest_changes_with_files_and_ranges(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"one")
    files = (RecordFile(str(path), 1),)
    digest = record_files.compute_digest(files)
    assert digest == record_files.compute_digest(files)
    assert digest != record_files.compute_digest((dataclasses.replace(files[0], skip=1),))
    os.utime(path, ns=(5, 5))
    touched = record_files.compute_digest(files)
    path.write_bytes(b"three")
    os.utime(path, ns=(5, 5))
    assert len({digest, touched, record_files.compute_digest(files)}) == 3


@hypothesis.given(files=FILES.filter(bool), data=strategies.data())
def test_chosen_records_can_be_chosen_from_and_divided(files: Files, data: strategies.DataObject) -> None:
    whole = list_records(files)
    for _ in range(2):
        indices = data.draw(strategies.lists(strategies.integers(0, len(whole) - 1), unique=True)) if whole else []
        whole = [whole[index] for index in sorted(indices)]
        files = record_files.choose_records(files, np.array(indices, np.int64))
        assert list_records(files) == whole and all(file.num_examples for file in files)
    assert list_records(record_files.take_strided_part(files, 1, 2)) == whole[1::2]
    consecutive = [list_records(record_files.take_consecutive_part(files, index, 3)) for index in range(3)]
    assert list(itertools.chain(*consecutive)) == whole


@pytest.mark.parametrize(("index", "count"), [(0, 1), (0, 2), (1, 2)])
def test_chosen_records_are_read_and_named(record_files_of_five: list[str], index: int, count: int) -> None:
    """Each record has its number in its file, and stores its number in the whole data set."""
    files = tuple(RecordFile(path, 4, skip=1) for path in record_files_of_five)
    chosen = record_files.choose_records(files, np.array([11, 0, 2, 3, 9, 8]))
    part = record_files.take_strided_part(chosen, index, count)
    check = SkippedRecords(tuple(record_files_of_five), 15).check_file
    read = next(read_records_in_order(part, check).batch(9).as_numpy_iterator())
    stored = [1, 3, 4, 11, 12, 14][index::count]
    assert [int(record.split(b"image_")[1]) for record in read[2]] == stored
    names = [name.decode() for name in record_files.format_record_names(part, read[0], read[1]).numpy()]
    assert names == [f"{record_files_of_five[number // 5]}#{number % 5}" for number in stored]


@hypothesis.given(files=FILES)
def test_files_are_read_up_to_the_last_record(files: Files) -> None:
    files = tuple(file for file in files if file.num_examples)
    ends: dict[str, int] = {}
    for path, number in list_records(files):
        ends[path] = max(ends.get(path, 0), number + 1)
    assert record_files.find_ends(files) == ends


def test_all_files_have_numbers_or_none(record_files_of_five: list[str]) -> None:
    files = tuple(RecordFile(path, 5) for path in record_files_of_five)
    mixed = (*record_files.choose_records(files[:1], np.array([1, 3])), *files[1:])
    check = SkippedRecords(tuple(record_files_of_five), 15).check_file
    with pytest.raises(ValueError, match="numbers"):
        read_records_in_order(mixed, check)


def test_digest_changes_with_the_chosen_records(record_files_of_five: list[str]) -> None:
    files = (RecordFile(record_files_of_five[0], 5),)
    chosen = [record_files.choose_records(files, np.array(numbers)) for numbers in ([0, 1], [0, 2])]
    assert len({record_files.compute_digest(each) for each in (files, *chosen)}) == 3
