"""TFRecord files and stretches of them: how they are dealt out, read and named."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import os
from collections.abc import Callable

import tensorflow as tf

from sagan_tf.errors import UserError
from sagan_tf.text import printable

_NUMBERS = ("num_examples", "skip", "step")

Check = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]
"""A file's path, if it has that many records: see `damaged_records.SkippedRecords.checked`."""


@dataclasses.dataclass(frozen=True)
class RecordFile:
    """A stretch of one TFRecord file: the records `skip`, `skip + step` and so on.

    Attributes:
        path: the file.
        num_examples: records in the stretch.
        skip: records of the file before it.
        step: distance of its records.
    """

    path: str
    num_examples: int
    skip: int = 0
    step: int = 1


def count_records(files: tuple[RecordFile, ...]) -> int:
    """Return the number of records in all stretches."""
    return sum(file.num_examples for file in files)


def consecutive_part(files: tuple[RecordFile, ...], index: int, count: int) -> tuple[RecordFile, ...]:
    """Return the `index`-th of `count` pieces of equal length (or shorter by one) of the files laid end to end."""
    total, before, part = count_records(files), 0, []
    first, last = total * index // count, total * (index + 1) // count
    for file in files:
        start, end = max(first - before, 0), min(last - before, file.num_examples)
        if start < end:
            part.append(RecordFile(file.path, end - start, file.skip + start * file.step, file.step))
        before += file.num_examples
    return tuple(part)


def strided_part(files: tuple[RecordFile, ...], index: int, count: int) -> tuple[RecordFile, ...]:
    """Return every `count`-th record of the files laid end to end, from the `index`-th on."""
    before, part = 0, []
    for file in files:
        start = (index - before) % count
        if start < file.num_examples:
            length = (file.num_examples - start + count - 1) // count
            part.append(RecordFile(file.path, length, file.skip + start * file.step, file.step * count))
        before += file.num_examples
    return tuple(part)


def check_files_exist(files: tuple[RecordFile, ...]) -> None:
    """Raise a `UserError` if one of `files` is missing."""
    # One listing for each folder: asking for a thousand files by name takes a minute on remote storage.
    folders = {os.path.dirname(file.path) for file in files}
    there = filter(tf.io.gfile.isdir, folders)
    present = {os.path.join(folder, name) for folder in there for name in tf.io.gfile.listdir(folder)}
    missing = [file.path for file in files if file.path not in present]
    if missing:
        raise UserError(
            f"data_dir: expected the record file {missing[0]}, which does not exist ({len(missing)} of {len(files)} "
            f"are missing); unless its file system is only not mounted, {prepare_again(missing[0])}"
        )


def prepare_again(path: str) -> str:
    """Return what to do about a damaged or missing record file, or a file that describes them.

    Without some of its files the directory is still a prepared data set to TFDS, which then prepares nothing, and
    `tools/prepare_imagenet.py` refuses to overwrite it.
    """
    directory = os.path.dirname(path)
    return f"{f'remove the directory {printable(directory)} and ' if directory else ''}prepare the data set again"


def digest_of_files(files: tuple[RecordFile, ...]) -> str:
    """Another string when stretches, sizes or times of the files are others."""
    digest = hashlib.sha256()
    for file in files:
        status = tf.io.gfile.stat(file.path)
        digest.update(f"{file}{status.length} {status.mtime_nsec}".encode())
    return digest.hexdigest()[:16]


def records_in_order(files: tuple[RecordFile, ...], check: Check) -> tf.data.Dataset:
    """Return the records of `files`, one file after another; see `records_of`."""
    return stretches(files, tf.range(len(files))).flat_map(functools.partial(records_of, check))


def stretches(
    files: tuple[RecordFile, ...], order: tf.Tensor, within: tuple[tf.Tensor, tf.Tensor] | None = None
) -> tf.data.Dataset:
    """Give the arguments of `records_of` for each file.

    Args:
        files: stretches of files.
        order: int32 [files], their indices in the order in which they are read.
        within: Range (start, stop) of the records to read, counted over all `files`, int64 scalars; None for all.

    Returns:
        Dataset of (index, path, take, skip, step), without files of which no record is read.
    """
    # Not one tensor to be taken apart: TensorFlow 2.21 dies of tf.unstack in a function that makes a dataset.
    takes, skips, steps = (tf.constant([getattr(file, key) for file in files], tf.int64) for key in _NUMBERS)
    if within is not None:
        before = tf.cumsum(takes, exclusive=True)
        first, last = (tf.clip_by_value(bound - before, 0, takes) for bound in within)
        takes, skips = last - first, skips + first * steps
        order = tf.boolean_mask(order, tf.gather(takes, order) > 0)
    columns = (tf.constant([file.path for file in files]), takes, skips, steps)
    return tf.data.Dataset.from_tensor_slices((order, *(tf.gather(column, order) for column in columns)))


def records_of(
    check: Check, index: tf.Tensor, path: tf.Tensor, take: tf.Tensor, skip: tf.Tensor, step: tf.Tensor
) -> tf.data.Dataset:
    """Return the records of one stretch: (its index, number of the record in its file, serialized record)."""
    records = tf.data.TFRecordDataset(check(path, skip + (take - 1) * step + 1)).skip(skip).shard(step, 0).take(take)
    # Zipped rather than mapped: running a function for each record would cost as much as reading it.
    places = tf.data.Dataset.range(skip, skip + take * step, step)
    return tf.data.Dataset.zip((tf.data.Dataset.from_tensors(index).repeat(), places, records))


def record_names(files: tuple[RecordFile, ...], indices: tf.Tensor, numbers: tf.Tensor) -> tf.Tensor:
    """PATH#NUMBER of each record, string [records]; the arguments are what `records_of` gives, stacked."""
    paths = tf.gather(tf.constant([file.path for file in files]), indices)
    return tf.strings.join([paths, "#", tf.strings.as_string(numbers)])
