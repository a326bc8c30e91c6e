"""Reading of some of the records of a TFRecord file, which has no index."""

from __future__ import annotations

from typing import TYPE_CHECKING

import tensorflow as tf

if TYPE_CHECKING:
    from sagan_tf.data.records.record_files import FileCheck


def read_chosen_range(
    check: FileCheck,
    numbers: tf.RaggedTensor,
    index: tf.Tensor,
    path: tf.Tensor,
    take: tf.Tensor,
    skip: tf.Tensor,
    step: tf.Tensor,
) -> tf.data.Dataset:
    """Return the records of a range that counts only some records of its file.

    The records between the first and the last one of the range are read, and the other ones are left out.

    Args:
        check: Checks the file before it is read.
        numbers: The numbers of the records that count, ascending, int64 [ranges, (records)].
        index: Index of the range, an integer scalar.
        path: The file, a string scalar.
        take: Number of records in the range, int64 scalar.
        skip: Number of records that count before the range, int64 scalar.
        step: Distance between the records of the range, int64 scalar.

    Returns:
        A dataset of (index, number of the record in its file, serialized record).
    """
    chosen = numbers[index][skip::step][:take]
    first, length = chosen[0], chosen[-1] - chosen[0] + 1
    is_chosen = tf.scatter_nd((chosen - first)[:, tf.newaxis], tf.ones_like(chosen), [length]) > 0
    records = tf.data.TFRecordDataset(check(path, first + length)).skip(first)
    columns = (tf.data.Dataset.from_tensors(index).repeat(), tf.data.Dataset.range(first, first + length), records)
    rows = tf.data.Dataset.zip((*columns, tf.data.Dataset.from_tensor_slices(is_chosen)))
    # TensorFlow runs neither function for each record, because both only return some of their arguments.
    return rows.filter(lambda *row: row[-1]).map(lambda *row: row[:-1])
