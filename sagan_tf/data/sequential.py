"""Data sets whose records are read one after another: record files, shuffled through a buffer."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from sagan_tf.data.decoding import image_or_skip, readable_examples
from sagan_tf.data.source import Source, epoch_seed, first_position_of_shard
from sagan_tf.errors import UserError

_FILES_READ_AT_ONCE = 16
_LARGEST_IMBALANCE = 0.05


@dataclasses.dataclass(frozen=True)
class RecordFile:
    """A stretch of one TFRecord file.

    Attributes:
        path: the file.
        num_examples: records in the stretch.
        skip: records of the file before it.
    """

    path: str
    num_examples: int
    skip: int = 0


class SequentialSource(Source):
    """A source over TFRecord files.

    An epoch takes the files in a random order, mixes records of several files and passes the encoded records through
    a shuffle buffer. All three are functions of (seed, epoch), so that resuming within an epoch is reading again up to
    there, without decoding.
    """

    def __init__(
        self,
        files: tuple[RecordFile, ...],
        *,
        parse: Callable[[tf.Tensor, tf.Tensor], dict[str, tf.Tensor]],
        shuffle_buffer_size: int,
        **attributes: Any,
    ) -> None:
        """
        Args:
            files: where the records are.
            parse: (serialized record, name of the record by file and number) -> {"encoded": string scalar, "label":
                int32 scalar, "name": string scalar}.
            shuffle_buffer_size: encoded records held for shuffling.
            **attributes: see `Source`, `num_examples` excepted.

        Raises:
            UserError: there are no records.
        """
        self._files = tuple(file for file in files if file.num_examples)
        if not self._files:
            raise UserError(f"split: expected at least one image, received none in {attributes['name']}")
        super().__init__(num_examples=_count(self._files), **attributes)
        self._parse = parse
        self._shuffle_buffer_size = shuffle_buffer_size

    def examples(self, *, seed: int, position: int, shard_index: int = 0, num_shards: int = 1) -> tf.data.Dataset:
        """See `Source.examples`. Where the files can be dealt out evenly, a shard reads only its own."""
        shares = [self._files[index::num_shards] for index in range(num_shards)]
        counts = [_count(share) for share in shares]
        # A shard with fewer records would show each of them more often than the others show theirs.
        if min(counts) >= (1 - _LARGEST_IMBALANCE) * max(counts):
            records = self._shard_by_file(shares[shard_index], seed, position, shard_index, num_shards)
        else:
            records = self._records(self._files, seed, position)
            records = records.filter(lambda place, name, record: place % num_shards == shard_index)
        return readable_examples(records, self._read, self)

    def preview(self, count: int) -> tf.data.Dataset:
        """See `Source.preview`: past the shuffle buffer, which would have to be filled first."""
        records = records_in_order(self._files).take(count).enumerate()
        return readable_examples(records.map(lambda place, record: (place, *record)), self._read, self)

    def _shard_by_file(
        self, files: tuple[RecordFile, ...], seed: int, position: int, shard_index: int, num_shards: int
    ) -> tf.data.Dataset:
        """(position, name, record) from a shard's files; its k-th record has position k * num_shards + shard_index."""
        first = first_position_of_shard(position, shard_index=shard_index, num_shards=num_shards)
        records = self._records(files, seed, first // num_shards)
        return records.map(lambda place, name, record: (place * num_shards + shard_index, name, record))

    def _records(self, files: tuple[RecordFile, ...], seed: int, first: int) -> tf.data.Dataset:
        """(place, name, serialized record) of `files`, epoch after epoch, from place `first` on."""
        count = _count(files)

        def epoch_records(epoch: tf.Tensor) -> tf.data.Dataset:
            # A buffer's shuffle mixes TensorFlow's global seed into its own: fixed here, in this function's graph only.
            tf.compat.v1.set_random_seed(1)
            start = tf.maximum(tf.constant(first, tf.int64) - epoch * count, 0)
            shuffled = _epoch_of_files(files, epoch_seed(seed, epoch), self._shuffle_buffer_size)
            places = shuffled.enumerate(start=epoch * count).skip(start)
            return places.map(lambda place, record: (place, *record))

        return tf.data.Dataset.range(first // count, tf.int64.max).flat_map(epoch_records)

    def _read(self, position: tf.Tensor, record_name: tf.Tensor, record: tf.Tensor) -> dict[str, tf.Tensor]:
        def decode(encoded: bytes, name: bytes) -> tuple[np.ndarray, np.bool_]:
            return image_or_skip(lambda: encoded, name.decode(errors="replace"), self)

        parsed = self._parse(record, record_name)
        outputs = (tf.uint8, tf.bool)
        image, readable = tf.numpy_function(decode, [parsed["encoded"], parsed["name"]], outputs)
        example = {"image": image, "position": position, "readable": tf.ensure_shape(readable, [])}
        return example | {"label": parsed["label"], "name": parsed["name"]}


def _count(files: tuple[RecordFile, ...]) -> int:
    return sum(file.num_examples for file in files)


def check_files_exist(files: tuple[RecordFile, ...]) -> None:
    """Raises a `UserError` if one of `files` is missing."""
    # One listing for each folder: asking for a thousand files by name takes a minute on remote storage.
    folders = {os.path.dirname(file.path) for file in files}
    present = {os.path.join(folder, name) for folder in folders for name in tf.io.gfile.listdir(folder)}
    missing = [file.path for file in files if file.path not in present]
    if missing:
        raise UserError(
            f"data_dir: expected the record file {missing[0]}, which does not exist ({len(missing)} of {len(files)} "
            "are missing); prepare the data set again"
        )


def records_in_order(files: tuple[RecordFile, ...]) -> tf.data.Dataset:
    """The records of `files`, one file after another: dataset of (name, serialized record), both string scalars."""
    return _stretches(files, tf.range(len(files))).flat_map(_records_of)


def _stretches(files: tuple[RecordFile, ...], order: tf.Tensor) -> tf.data.Dataset:
    """The arguments of `_records_of` for each file, in the order of the indices `order`."""
    paths = tf.constant([file.path for file in files])
    skip = tf.constant([file.skip for file in files], tf.int64)
    take = tf.constant([file.num_examples for file in files], tf.int64)
    return tf.data.Dataset.from_tensor_slices(tuple(tf.gather(column, order) for column in (paths, skip, take)))


def _records_of(path: tf.Tensor, skip: tf.Tensor, take: tf.Tensor) -> tf.data.Dataset:
    records = tf.data.TFRecordDataset(path).enumerate().skip(skip).take(take)
    return records.map(lambda index, record: (tf.strings.join([path, "#", tf.strings.as_string(index)]), record))


def _epoch_of_files(files: tuple[RecordFile, ...], seed: tf.Tensor, shuffle_buffer_size: int) -> tf.data.Dataset:
    """(name, serialized record) of all files, in the order that `seed` gives."""
    order = tf.random.experimental.stateless_shuffle(tf.range(len(files)), seed=seed, alg="philox")
    records = _stretches(files, order).interleave(
        _records_of,
        cycle_length=min(_FILES_READ_AT_ONCE, len(files)),
        num_parallel_calls=tf.data.AUTOTUNE,
        deterministic=True,
    )
    buffer_seed = tf.random.stateless_uniform([], seed=seed, minval=None, maxval=None, dtype=tf.int64, alg="philox")
    return records.shuffle(shuffle_buffer_size, seed=buffer_seed, reshuffle_each_iteration=False)
