"""Data sets whose records are read one after another from record files, and shuffled through a buffer."""

from __future__ import annotations

import copy
import hashlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from sagan_tf.data.records import record_files
from sagan_tf.data.records.damaged_records import SkippedRecords
from sagan_tf.data.records.image_records import ImageRecord, RelabelingParser
from sagan_tf.data.records.record_files import RecordFile, count_records
from sagan_tf.data.records.shuffled_records import shuffle_records
from sagan_tf.data.sources.decoding import decode_chunks, decode_in_python, decode_readable_images
from sagan_tf.data.sources.record_labels import read_labels
from sagan_tf.data.sources.records_in_memory import load_records
from sagan_tf.data.sources.selectable import SelectableSource
from sagan_tf.data.sources.shard import Shard
from sagan_tf.data.sources.source import Source, make_epoch_seed
from sagan_tf.errors import UserError

_RECORDS_PER_BATCH = 64
_MAX_SHARE_IMBALANCE = 0.05
"""Maximum relative difference between the record counts of the shards at which each shard reads a range of records.
With few files, or files of very different sizes, the ranges of several shards would lie in the same files."""


class SequentialSource(SelectableSource):
    """A source over TFRecord files.

    An epoch takes the files in a random order, interleaves records of several files and passes the encoded records
    through a shuffle buffer. All three are functions of (seed, epoch). To resume within an epoch, the source rereads
    the epoch up to that position without decoding it.

    Args:
        files: Where the records are.
        parse: Maps a serialized record and its name by file and number to its content. Must be picklable.
        shuffle_buffer_size: Number of encoded records that are held for shuffling.
        stored_at_random: Whether the records were shuffled before they were written, as TFDS and
            `tools/prepare_imagenet.py` do.
        **attributes: The arguments of `Source` except `num_examples`.

    Raises:
        UserError: There are no records.
    """

    def __init__(
        self,
        files: tuple[RecordFile, ...],
        *,
        parse: Callable[[bytes, str], ImageRecord],
        shuffle_buffer_size: int,
        stored_at_random: bool = True,
        **attributes: Any,
    ) -> None:
        self._files = tuple(file for file in files if file.num_examples)
        if not self._files:
            raise UserError(f"split: expected at least one image, received none in {attributes['name']}")
        super().__init__(num_examples=count_records(self._files), **attributes)
        self._ends = record_files.find_ends(self._files)  # those of the whole data set, also in a part of it
        self.skipped: SkippedRecords = self._create_skipped_records()
        self._parse = parse
        self._shuffle_buffer_size = shuffle_buffer_size
        self._stored_at_random = stored_at_random
        self._mixes_stored = False

    def chunks(self, *, seed: int, position: int, shard_index: int = 0, num_shards: int = 1) -> tf.data.Dataset:
        """See `Source.chunks`.

        Every record comes once in an epoch, whatever the sizes of the files. If dealing out whole files gives every
        shard the same number of records, a shard reads only its own files. If the numbers differ a little, a shard
        reads a range of all records, and the records before that range in its first file. Otherwise, and if the records
        are not stored at random, so that a range is not a fair sample, a shard reads all records and decodes its own.
        All shards together then give the stream of a single reader.
        """
        shard = Shard(shard_index, num_shards, self.num_examples)
        shares = [self._files[index::num_shards] for index in range(num_shards)]
        counts = [count_records(share) for share in shares]
        if len(set(counts)) == 1:
            own = shares[shard_index]
            return self._decode_records(self._read_records(own, seed, position, shard), own)
        if self._stored_at_random and min(counts) >= (1 - _MAX_SHARE_IMBALANCE) * max(counts):
            return self._decode_records(
                self._read_records(self._files, seed, position, shard, shard.get_epoch_records), self._files
            )
        records = self._read_records(self._files, seed, position)
        return self._decode_records(
            records.filter(lambda place, record: place % num_shards == shard_index), self._files
        )

    def count_reread_bytes(self, position: int) -> int:
        """See `Source.count_reread_bytes`.

        The shuffle buffer must be filled and emptied as before. A file is read up to its last record that is used.
        """
        ends = record_files.find_ends(self._files).items()
        num_bytes = sum(tf.io.gfile.stat(path).length * end // self._ends[path] for path, end in ends)
        return num_bytes * (position % self.num_examples) // self.num_examples

    def stored_chunks(self, count: int) -> tf.data.Dataset:
        """See `Source.stored_chunks`.

        Bypasses the shuffle buffer, which would have to be filled first.
        """
        if self._mixes_stored:
            return self._decode_records(
                self._read_records(self._files, 0, 0).take(min(count, self.num_examples)), self._files
            )
        return self._decode_records(
            record_files.read_records_in_order(self._files, self.skipped.check_file).take(count).enumerate(),
            self._files,
        )

    def part(self, index: int, count: int) -> Source:
        """See `Source.part`.

        If records are stored at random, consecutive records are a fair sample, and all parts together read each file
        once. Otherwise a part takes every `count`-th record, mixed through the shuffle buffer, and reads every file.
        The class counts remain those of the whole data set, because those of the part would have to be read.
        """
        part = copy.copy(self)
        take_part = record_files.take_consecutive_part if self._stored_at_random else record_files.take_strided_part
        part._files = take_part(self._files, index, count)
        part._mixes_stored = not self._stored_at_random
        part.num_examples = count_records(part._files)
        part.skipped = self._create_skipped_records(log=False)
        return part

    def balance(self) -> Source:
        """See `Source.balance`. Holds all records in memory, since record files can only be read in sequence."""
        with self.skipped.raise_user_errors():
            return load_records(self, self._iterate_named_records(), self._parse).balance()

    def get_labels(self) -> np.ndarray:
        """See `SelectableSource.get_labels`. Reads all records, because record files have no list of labels."""
        if not self.class_names:
            return np.zeros(self.num_examples, np.int32)
        with self.skipped.raise_user_errors():
            return read_labels(self, self._iterate_named_records(), self._parse)

    def get_ranks(self, indices: np.ndarray) -> Sequence[Any]:
        """See `SelectableSource.get_ranks`.

        If the records are stored at random, the first records of each file come first, so that the rest of the file
        need not be read. Otherwise the keys are SHA-256 digests of the names of the files and the numbers of records.
        """
        ranges, places = record_files.locate_records(self._files, indices)
        if self._stored_at_random:
            return ((places + 0.5) / np.array([file.num_examples for file in self._files])[ranges]).tolist()
        names = [
            f"{os.path.basename(self._files[index].path)}#{self._files[index].get_numbers(place)}"
            for index, place in zip(ranges, places, strict=True)
        ]
        return [hashlib.sha256(os.fsencode(name)).digest() for name in names]

    def select(self, indices: np.ndarray, labels: np.ndarray, class_names: tuple[str, ...]) -> SequentialSource:
        """See `SelectableSource.select`. The records remain in the order in which they are stored."""
        part = copy.copy(self)
        part._files = record_files.choose_records(self._files, indices)
        part.num_examples = part.class_counts_sample_size = len(indices)
        part.class_names = class_names
        part.class_counts = np.bincount(labels, minlength=len(class_names))[: len(class_names)]
        if class_names:
            new_labels = (class_names.index(name) if name in class_names else -1 for name in self.class_names)
            part._parse = RelabelingParser(self._parse, tuple(new_labels))
        part.skipped = part._create_skipped_records()
        return part

    def digest(self) -> str:
        """See `Source.digest`."""
        digest = record_files.compute_digest(self._files)
        if not isinstance(self._parse, RelabelingParser):
            return digest
        return hashlib.sha256(json.dumps([digest, self.class_names]).encode()).hexdigest()[:16]

    def _iterate_named_records(self) -> Iterator[tuple[bytes, bytes]]:
        """Read the name by file and number of each record and the serialized record, in the order of storage."""

        def name_records(indices: tf.Tensor, numbers: tf.Tensor, serialized: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            return record_files.format_record_names(self._files, indices, numbers), serialized

        records = record_files.read_records_in_order(self._files, self.skipped.check_file)
        for names, serialized in records.batch(_RECORDS_PER_BATCH).map(name_records).as_numpy_iterator():
            yield from zip(names, serialized, strict=True)

    def _create_skipped_records(self, log: bool = True) -> SkippedRecords:
        paths = tuple(dict.fromkeys(file.path for file in self._files))
        return SkippedRecords(paths, self.num_examples, log=log)

    def _read_records(
        self,
        files: tuple[RecordFile, ...],
        seed: int,
        position: int,
        shard: Shard | None = None,
        get_epoch_range: Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]] | None = None,
    ) -> tf.data.Dataset:
        """Return the records of a shard, epoch after epoch.

        Args:
            files: The ranges of files that the shard reads.
            seed: Seed of the order.
            position: Where in the stream of all shards to start.
            shard: The shard whose positions the records have. None for all positions.
            get_epoch_range: Maps an epoch to the range of the records of `files` that the shard reads; see
                `record_files.make_range_dataset`. None for all records.

        Returns:
            A dataset of (position, record from `read_range`).
        """
        shard = shard or Shard(0, 1, self.num_examples)
        first = shard.find_first_position(position)

        def make_epoch(epoch: tf.Tensor) -> tf.data.Dataset:
            # A shuffle buffer combines TensorFlow's global seed with its own: fix it, in this function's graph only.
            tf.compat.v1.set_random_seed(1)
            within = get_epoch_range(epoch) if get_epoch_range else None
            order_seed = make_epoch_seed(seed, epoch)
            shuffled = shuffle_records(files, order_seed, self._shuffle_buffer_size, self.skipped.check_file, within)
            start, stop = shard.get_epoch_positions(epoch)
            positions = tf.data.Dataset.range(start, stop, shard.count)
            return tf.data.Dataset.zip((positions, shuffled)).skip(tf.maximum(first - start, 0) // shard.count)

        return tf.data.Dataset.range(first // shard.num_examples, tf.int64.max).flat_map(make_epoch)

    def _decode_records(self, records: tf.data.Dataset, files: tuple[RecordFile, ...]) -> tf.data.Dataset:
        """Decode a dataset of (position, record of `files`) into chunks."""

        def decode(serialized: np.ndarray, names: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
            pairs = zip(serialized, names, strict=True)
            parsed = [self._parse(record, os.fsdecode(name)) for record, name in pairs]
            images, readable = decode_readable_images([(record.read, record.name) for record in parsed], self)
            labels = np.array([parsed[place].label for place in readable], np.int32)
            return images, readable, labels, np.array([os.fsencode(parsed[place].name) for place in readable], object)

        def read(positions: tf.Tensor, record: tuple[tf.Tensor, tf.Tensor, tf.Tensor]) -> dict[str, tf.Tensor]:
            indices, numbers, serialized = record
            inputs = [serialized, record_files.format_record_names(files, indices, numbers)]
            images, readable, labels, names = decode_in_python(decode, inputs)
            return {"image": images, "label": labels, "position": tf.gather(positions, readable), "name": names}

        return decode_chunks(records, read, self)
