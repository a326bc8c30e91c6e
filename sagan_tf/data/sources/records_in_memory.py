"""Records that are held in memory, encoded, so that they can be read in any order."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable

import numpy as np
import tensorflow as tf

from sagan_tf.data.records.image_records import ImageRecord
from sagan_tf.data.sources.decoding import decode_chunks, decode_in_python, decode_readable_images
from sagan_tf.data.sources.indexed import IndexedSource
from sagan_tf.data.sources.source import Source
from sagan_tf.errors import UserError

_logger = logging.getLogger("sagan_tf")
MAX_BYTES = 4 * 2**30
"""Encoded images that are held in memory: 4 GiB, more than two million images of 64 px."""
_SAMPLE_RECORDS = 256
"""After this many records, the size of all records is estimated."""


class RecordsInMemory(IndexedSource):
    """Records of another source.

    Args:
        source: The other source. Unreadable images are added to its `skipped`.
        records: Its records without a problem.
        labels: The label of each record, int32 [records].
        class_names: The classes.
    """

    def __init__(
        self, source: Source, records: list[ImageRecord], labels: np.ndarray, class_names: tuple[str, ...]
    ) -> None:
        super().__init__(
            name=source.name,
            num_examples=len(records),
            class_names=class_names,
            class_counts=np.bincount(labels, minlength=len(class_names))[: len(class_names)],
            resolution=source.resolution,
            image_channels=source.image_channels,
        )
        self.skipped = source.skipped
        self._source = source
        self._records = records
        self._labels = labels

    def digest(self) -> str:
        """See `Source.digest`."""
        return self._source.digest()

    def get_labels(self) -> np.ndarray:
        """See `SelectableSource.get_labels`."""
        return self._labels

    def get_keys(self) -> list[str]:
        """See `IndexedSource.get_keys`."""
        return [record.name for record in self._records]

    def select(self, indices: np.ndarray, labels: np.ndarray, class_names: tuple[str, ...]) -> RecordsInMemory:
        """See `SelectableSource.select`."""
        return RecordsInMemory(self._source, [self._records[index] for index in indices], labels, class_names)

    def _read(self, places: tf.data.Dataset) -> tf.data.Dataset:
        def decode(indices: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
            records = [self._records[index] for index in indices]
            images, readable = decode_readable_images([(record.read, record.name) for record in records], self)
            names = np.array([os.fsencode(record.name) for record in records], object)
            return images, readable, self._labels[indices[readable]], names[readable]

        def read(positions: tf.Tensor, indices: tf.Tensor) -> dict[str, tf.Tensor]:
            images, readable, labels, names = decode_in_python(decode, [indices])
            return {"image": images, "label": labels, "position": tf.gather(positions, readable), "name": names}

        return decode_chunks(places, read, self)


def load_records(
    source: Source, records: Iterable[tuple[bytes, bytes]], parse: Callable[[bytes, str], ImageRecord]
) -> RecordsInMemory:
    """Load the records of a source into memory, and report those with a problem.

    Records with a problem have no place in the order: their labels are not known.

    Args:
        source: The source.
        records: The name by file and number of each record, and the serialized record.
        parse: See `SequentialSource`.

    Raises:
        UserError: The records have more than `MAX_BYTES`, or too many have a problem.
    """
    loaded: list[ImageRecord] = []
    num_bytes = 0
    for name, record in records:
        loaded.append(parse(record, os.fsdecode(name)))
        num_bytes += len(record)
        is_sample = len(loaded) == _SAMPLE_RECORDS
        expected_bytes = num_bytes * source.num_examples // len(loaded) if is_sample else num_bytes
        if expected_bytes > MAX_BYTES:
            raise UserError(
                f"label_sampling: balanced holds the records of {source.name} in memory, at most {MAX_BYTES / 1e9:.1f} "
                f"GB, received {'about' if is_sample else 'more than'} {expected_bytes / 1e9:.1f} GB; prepare "
                "records at a smaller --resolution, or pass --dataset=folder"
            )
    for invalid in (record for record in loaded if record.problem):
        source.skipped.add(invalid.name, invalid.problem)
    valid = [record for record in loaded if not record.problem]
    _logger.info("holding %d encoded images of %s in memory (%.1f MB)", len(valid), source.name, num_bytes / 1e6)
    labels = np.array([record.label for record in valid], np.int32)
    return RecordsInMemory(source, valid, labels, source.class_names)
