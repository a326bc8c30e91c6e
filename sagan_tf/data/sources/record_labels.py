"""The labels of all records of a data set, which are stored in the records alone."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable

import numpy as np

from sagan_tf.data.records.image_records import ImageRecord
from sagan_tf.data.sources.source import Source
from sagan_tf.progress import progress_bar

_logger = logging.getLogger("sagan_tf")
_MAX_KEPT = 4
_kept: dict[tuple[str, ...], np.ndarray] = {}
"""Labels that this process has read, by the digest and the class names of the source, because a command may open the
same data set more than once. At most `_MAX_KEPT`."""


def read_labels(
    source: Source, records: Iterable[tuple[bytes, bytes]], parse: Callable[[bytes, str], ImageRecord]
) -> np.ndarray:
    """Read the label of each record once in a process, and report the records with a problem.

    Args:
        source: The source of the records.
        records: The name by file and number of each record, and the serialized record.
        parse: See `SequentialSource`.

    Returns:
        int32 [records], read-only; -1 for a record with a problem.

    Raises:
        UserError: Too many records have a problem.
    """
    key = source.digest(), *source.class_names
    if key not in _kept:
        labels = _read_all(source, records, parse)
        labels.flags.writeable = False
        if len(_kept) == _MAX_KEPT:
            del _kept[next(iter(_kept))]
        _kept[key] = labels
    return _kept[key]


def _read_all(
    source: Source, records: Iterable[tuple[bytes, bytes]], parse: Callable[[bytes, str], ImageRecord]
) -> np.ndarray:
    """Return the result of `read_labels`."""
    _logger.info("%s: reading the labels of %d records", source.name, source.num_examples)
    labels: np.ndarray = np.full(source.num_examples, -1, np.int32)
    with progress_bar(source.num_examples, unit="record", description="labels") as bar:
        for index, (name, serialized) in enumerate(records):
            record = parse(serialized, os.fsdecode(name))
            if record.problem:
                source.skipped.add(record.name, record.problem)
            else:
                labels[index] = record.label
            bar.update()
    return labels
