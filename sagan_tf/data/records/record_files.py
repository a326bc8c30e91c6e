"""TFRecord files and ranges of their records: dividing them among readers, reading them and naming their records."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from sagan_tf.data.records.chosen_records import read_chosen_range

_NUMERIC_FIELDS = ("num_examples", "skip", "step")

FileCheck = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]
"""Returns a file's path after a check of its number of records; see `damaged_records.SkippedRecords.check_file`."""


@dataclasses.dataclass(frozen=True)
class RecordFile:
    """A range of the records of one TFRecord file.

    The range has the records `skip`, `skip + step` and so on: of the file, or of `numbers`.

    Attributes:
        path: The file.
        num_examples: Number of records in the range.
        skip: Number of records of the file before the range.
        step: Distance between the records of the range.
        numbers: Numbers of the records of the file that `num_examples`, `skip` and `step` count, ascending, int64. None
            for all.
    """

    path: str
    num_examples: int
    skip: int = 0
    step: int = 1
    numbers: np.ndarray | None = dataclasses.field(default=None, repr=False, compare=False)

    def get_numbers(self, places: np.ndarray) -> np.ndarray:
        """Return the number in the file of the records at some places of the range, int64 [places]."""
        counted: np.ndarray = self.skip + self.step * places
        return counted if self.numbers is None else self.numbers[counted]


def count_records(files: tuple[RecordFile, ...]) -> int:
    """Return the number of records in all ranges."""
    return sum(file.num_examples for file in files)


def take_consecutive_part(files: tuple[RecordFile, ...], index: int, count: int) -> tuple[RecordFile, ...]:
    """Return one of `count` consecutive parts of all records.

    Args:
        files: Ranges of files, whose records are numbered from the first range to the last.
        index: Index of the part.
        count: Number of parts. Their lengths differ by at most one record.

    Returns:
        The ranges of the part.
    """
    total, before, part = count_records(files), 0, []
    first, last = total * index // count, total * (index + 1) // count
    for file in files:
        start, end = max(first - before, 0), min(last - before, file.num_examples)
        if start < end:
            part.append(dataclasses.replace(file, num_examples=end - start, skip=file.skip + start * file.step))
        before += file.num_examples
    return tuple(part)


def take_strided_part(files: tuple[RecordFile, ...], index: int, count: int) -> tuple[RecordFile, ...]:
    """Return every `count`-th of all records, beginning with record `index`.

    Args:
        files: Ranges of files, whose records are numbered from the first range to the last.
        index: Index of the first record.
        count: Distance between the records of the part.

    Returns:
        The ranges of the part.
    """
    before, part = 0, []
    for file in files:
        start = (index - before) % count
        if start < file.num_examples:
            length = (file.num_examples - start + count - 1) // count
            skip, step = file.skip + start * file.step, file.step * count
            part.append(dataclasses.replace(file, num_examples=length, skip=skip, step=step))
        before += file.num_examples
    return tuple(part)


def locate_records(files: tuple[RecordFile, ...], indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the range of each of some records, and its place in the range, both int64 [records].

    Args:
        files: Ranges of files, whose records are numbered from the first range to the last.
        indices: The records, int64 [records].
    """
    ends = np.cumsum([file.num_examples for file in files])
    ranges = np.asarray(np.searchsorted(ends, indices, side="right"))
    return ranges, indices - np.concatenate([[0], ends])[ranges]


def choose_records(files: tuple[RecordFile, ...], indices: np.ndarray) -> tuple[RecordFile, ...]:
    """Return ranges of some of the records, in the order of `files`, without ranges of no record.

    Args:
        files: See `locate_records`.
        indices: The records, in any order, int64 [records].
    """
    ranges, places = locate_records(files, np.sort(indices))
    chosen = ((file, places[ranges == index]) for index, file in enumerate(files))
    return tuple(RecordFile(file.path, len(own), numbers=file.get_numbers(own)) for file, own in chosen if len(own))


def find_ends(files: tuple[RecordFile, ...]) -> dict[str, int]:
    """Return, for each path, how many records the file has up to the last record of its ranges."""
    ends = dict.fromkeys((file.path for file in files), 0)
    for file in files:
        ends[file.path] = max(ends[file.path], 1 + int(file.get_numbers(np.array(file.num_examples - 1))))
    return ends


def compute_digest(files: tuple[RecordFile, ...]) -> str:
    """Return a digest of the ranges, sizes and modification times of files."""
    # The digest includes the text of each RecordFile: to rename the class or a field would change stored digests.
    digest = hashlib.sha256()
    for file in files:
        status = tf.io.gfile.stat(file.path)
        digest.update(f"{file}{status.length} {status.mtime_nsec}".encode())
        if file.numbers is not None:
            digest.update(file.numbers.astype("<i8").tobytes())
    return digest.hexdigest()[:16]


def read_records_in_order(files: tuple[RecordFile, ...], check: FileCheck) -> tf.data.Dataset:
    """Return the records of `files`, one file after another; see `read_range`."""
    return make_range_dataset(files, tf.range(len(files))).flat_map(make_range_reader(files, check))


def make_range_dataset(
    files: tuple[RecordFile, ...], order: tf.Tensor, within: tuple[tf.Tensor, tf.Tensor] | None = None
) -> tf.data.Dataset:
    """Create a dataset of the arguments of a function from `make_range_reader` for each file.

    Args:
        files: Ranges of files.
        order: int32 [files], their indices in the order in which they are read.
        within: Range (start, stop) of the records to read, counted over all `files`, int64 scalars. None for all.

    Returns:
        A dataset of (index, path, take, skip, step), without files of which no record is read.
    """
    # One tensor for each field: TensorFlow 2.21 crashes at tf.unstack in a function that creates a dataset.
    takes, skips, steps = (tf.constant([getattr(file, field) for file in files], tf.int64) for field in _NUMERIC_FIELDS)
    if within is not None:
        before = tf.cumsum(takes, exclusive=True)
        first, last = (tf.clip_by_value(bound - before, 0, takes) for bound in within)
        takes, skips = last - first, skips + first * steps
        order = tf.boolean_mask(order, tf.gather(takes, order) > 0)
    columns = (tf.constant([file.path for file in files]), takes, skips, steps)
    return tf.data.Dataset.from_tensor_slices((order, *(tf.gather(column, order) for column in columns)))


def make_range_reader(files: tuple[RecordFile, ...], check: FileCheck) -> Callable[..., tf.data.Dataset]:
    """Return `read_range`, or `read_chosen_range` for files with `numbers`, with the same arguments after `check`.

    Raises ValueError if only some of the files have `numbers`.
    """
    numbers = [file.numbers for file in files if file.numbers is not None]
    if not numbers:
        return functools.partial(read_range, check)
    if len(numbers) < len(files):
        raise ValueError(f"expected `numbers` of all {len(files)} files or of none, received {len(numbers)}")
    rows = tf.RaggedTensor.from_row_lengths(np.concatenate(numbers), [len(row) for row in numbers])
    return functools.partial(read_chosen_range, check, rows)


def read_range(
    check: FileCheck, index: tf.Tensor, path: tf.Tensor, take: tf.Tensor, skip: tf.Tensor, step: tf.Tensor
) -> tf.data.Dataset:
    """Return the records of one range.

    Args:
        check: Checks the file before it is read.
        index: Index of the range, an integer scalar.
        path: The file, a string scalar.
        take: Number of records in the range, int64 scalar.
        skip: Number of records before the range, int64 scalar.
        step: Distance between the records of the range, int64 scalar.

    Returns:
        A dataset of (index, number of the record in its file, serialized record).
    """
    records = tf.data.TFRecordDataset(check(path, skip + (take - 1) * step + 1)).skip(skip).shard(step, 0).take(take)
    # Zipped rather than mapped: running a function for each record would cost as much as reading it.
    numbers = tf.data.Dataset.range(skip, skip + take * step, step)
    return tf.data.Dataset.zip((tf.data.Dataset.from_tensors(index).repeat(), numbers, records))


def format_record_names(files: tuple[RecordFile, ...], indices: tf.Tensor, numbers: tf.Tensor) -> tf.Tensor:
    """Return the name PATH#NUMBER of each record.

    Args:
        files: Ranges of files.
        indices: Index of the range of each record, integers [records], from `read_range`.
        numbers: Number of each record in its file, integers [records], from `read_range`.

    Returns:
        string [records].
    """
    paths = tf.gather(tf.constant([file.path for file in files]), indices)
    return tf.strings.join([paths, "#", tf.strings.as_string(numbers)])
