"""Data sets whose records are read one after another: record files, shuffled through a buffer."""

from __future__ import annotations

import copy
import functools
import os
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from sagan_tf.data.records import record_files
from sagan_tf.data.records.damaged_records import SkippedRecords
from sagan_tf.data.records.image_records import ImageRecord
from sagan_tf.data.records.record_files import Check, RecordFile, count_records
from sagan_tf.data.sources.decoding import decode_in_python, decode_readable, decoded_chunks
from sagan_tf.data.sources.shard import Shard
from sagan_tf.data.sources.source import Source, epoch_seed
from sagan_tf.errors import UserError

_FILES_READ_AT_ONCE = 16
_MAX_SHARE_IMBALANCE = 0.05
"""Largest relative difference between the shards' record counts up to which shards read ranges of records: of few or
very different files they would share most."""


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
        parse: Callable[[bytes, str], ImageRecord],
        shuffle_buffer_size: int,
        stored_at_random: bool = True,
        **attributes: Any,
    ) -> None:
        """Args:
            files: where the records are.
            parse: (serialized record, its name by file and number) -> what is in it; can be sent to another process.
            shuffle_buffer_size: encoded records held for shuffling.
            stored_at_random: the records were shuffled before they were written, as TFDS and our own tool do.
            **attributes: see `Source`, `num_examples` excepted.

        Raises:
            UserError: there are no records.
        """
        self._files = tuple(file for file in files if file.num_examples)
        if not self._files:
            raise UserError(f"split: expected at least one image, received none in {attributes['name']}")
        super().__init__(num_examples=count_records(self._files), **attributes)
        self.skipped: SkippedRecords = self._skipped_records()
        self._parse = parse
        self._shuffle_buffer_size = shuffle_buffer_size
        self._stored_at_random = stored_at_random
        self._mixes_stored = False

    def chunks(self, *, seed: int, position: int, shard_index: int = 0, num_shards: int = 1) -> tf.data.Dataset:
        """See `Source.chunks`.

        Every record comes once in an epoch, whatever the sizes of the files. Where every `num_shards`-th file gives
        every shard equally many records, a shard reads its share only. Where these sizes differ a little, it reads a
        range of the records laid end to end, and of the first file in that range also the records before it. Otherwise,
        and where the records are not stored at random, so that a range is not a fair sample, a shard reads all records
        and decodes its own; the stream of all shards is then that of one.
        """
        shard = Shard(shard_index, num_shards, self.num_examples)
        shares = [self._files[index::num_shards] for index in range(num_shards)]
        counts = [count_records(share) for share in shares]
        if len(set(counts)) == 1:
            own = shares[shard_index]
            return self._decoded(self._records(own, seed, position, shard), own)
        if self._stored_at_random and min(counts) >= (1 - _MAX_SHARE_IMBALANCE) * max(counts):
            return self._decoded(self._records(self._files, seed, position, shard, shard.records_of_epoch), self._files)
        records = self._records(self._files, seed, position)
        return self._decoded(records.filter(lambda place, record: place % num_shards == shard_index), self._files)

    def reread_bytes(self, position: int) -> int:
        """See `Source.reread_bytes`: the shuffle buffer has to be filled and emptied as it was before."""
        sizes = {file.path: tf.io.gfile.stat(file.path).length for file in self._files}
        return sum(sizes.values()) * (position % self.num_examples) // self.num_examples

    def stored_chunks(self, count: int) -> tf.data.Dataset:
        """See `Source.stored_chunks`: past the shuffle buffer, which would have to be filled first."""
        if self._mixes_stored:
            return self._decoded(self._records(self._files, 0, 0).take(min(count, self.num_examples)), self._files)
        return self._decoded(
            record_files.records_in_order(self._files, self.skipped.checked).take(count).enumerate(), self._files
        )

    def part(self, index: int, count: int) -> Source:
        """See `Source.part`.

        Of records stored at random, consecutive ones are a fair sample, and all parts together read each file once.
        Of others a part takes every `count`-th, mixed through the shuffle buffer, and reads every file. Class counts
        stay those of the whole: its own would have to be read.
        """
        part = copy.copy(self)
        deal_out = record_files.consecutive_part if self._stored_at_random else record_files.strided_part
        part._files = deal_out(self._files, index, count)
        part._mixes_stored = not self._stored_at_random
        part.num_examples = count_records(part._files)
        part.skipped = self._skipped_records(log=False)
        return part

    def fingerprint(self) -> str:
        """See `Source.fingerprint`."""
        return record_files.digest_of_files(self._files)

    def _skipped_records(self, log: bool = True) -> SkippedRecords:
        paths = tuple(dict.fromkeys(file.path for file in self._files))
        return SkippedRecords(paths, self.num_examples, log=log)

    def _records(
        self,
        files: tuple[RecordFile, ...],
        seed: int,
        position: int,
        shard: Shard | None = None,
        range_of_epoch: Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]] | None = None,
    ) -> tf.data.Dataset:
        """Give the records of a shard, epoch after epoch.

        Args:
            files: what the shard reads.
            seed: seed of the order.
            position: where in the stream of all shards to start.
            shard: whose positions the records have; None for all.
            range_of_epoch: epoch -> which of the records of `files` the shard reads, see `record_files.stretches`; None
                for all.

        Returns:
            Dataset of (position, record as `records_of` gives it).
        """
        shard = shard or Shard(0, 1, self.num_examples)
        first = shard.first_position(position)

        def epoch_records(epoch: tf.Tensor) -> tf.data.Dataset:
            # A buffer's shuffle mixes TensorFlow's global seed into its own: fixed here, in this function's graph only.
            tf.compat.v1.set_random_seed(1)
            within = range_of_epoch(epoch) if range_of_epoch else None
            order = epoch_seed(seed, epoch)
            shuffled = _epoch_of_files(files, order, self._shuffle_buffer_size, self.skipped.checked, within)
            start, stop = shard.positions_of_epoch(epoch)
            positions = tf.data.Dataset.range(start, stop, shard.count)
            return tf.data.Dataset.zip((positions, shuffled)).skip(tf.maximum(first - start, 0) // shard.count)

        return tf.data.Dataset.range(first // shard.num_examples, tf.int64.max).flat_map(epoch_records)

    def _decoded(self, records: tf.data.Dataset, files: tuple[RecordFile, ...]) -> tf.data.Dataset:
        """Return the chunks of (position, record of `files`)."""

        def decode(serialized: np.ndarray, names: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
            pairs = zip(serialized, names, strict=True)
            parsed = [self._parse(record, os.fsdecode(name)) for record, name in pairs]
            images, readable = decode_readable([(record.read, record.name) for record in parsed], self)
            labels = np.array([parsed[place].label for place in readable], np.int32)
            return images, readable, labels, np.array([os.fsencode(parsed[place].name) for place in readable], object)

        def read(positions: tf.Tensor, record: tuple[tf.Tensor, tf.Tensor, tf.Tensor]) -> dict[str, tf.Tensor]:
            indices, numbers, serialized = record
            inputs = [serialized, record_files.record_names(files, indices, numbers)]
            images, readable, labels, names = decode_in_python(decode, inputs)
            return {"image": images, "label": labels, "position": tf.gather(positions, readable), "name": names}

        return decoded_chunks(records, read, self)


def _epoch_of_files(
    files: tuple[RecordFile, ...],
    seed: tf.Tensor,
    shuffle_buffer_size: int,
    check: Check,
    within: tuple[tf.Tensor, tf.Tensor] | None,
) -> tf.data.Dataset:
    """Give the records `within` all files, as `record_files.records_of` does, in the order that `seed` gives."""
    order = tf.random.experimental.stateless_shuffle(tf.range(len(files)), seed=seed, alg="philox")
    records = record_files.stretches(files, order, within).interleave(
        functools.partial(record_files.records_of, check),
        cycle_length=min(_FILES_READ_AT_ONCE, len(files)),
        num_parallel_calls=tf.data.AUTOTUNE,
        deterministic=True,
    )
    buffer_seed = tf.random.stateless_uniform([], seed=seed, minval=None, maxval=None, dtype=tf.int64, alg="philox")
    return records.shuffle(shuffle_buffer_size, seed=buffer_seed, reshuffle_each_iteration=False)
