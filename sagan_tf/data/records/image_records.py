"""Parsing of a record: a `tf.train.Example` with an encoded image, and optionally a label and a name."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from sagan_tf.data.images.limits import UnreadableImageError


@dataclasses.dataclass(frozen=True)
class ImageRecord:
    """The content of a record.

    Attributes:
        name: The record's file and number, and the name that is stored in the record.
        encoded: The content of an image file.
        label: The label; 0 if there are no labels.
        problem: The reason why the image cannot be used; empty if it can.
    """

    name: str
    encoded: bytes = b""
    label: int = 0
    problem: str = ""

    def read(self) -> bytes:
        """Return the encoded image; raise UnreadableImageError if there is a problem."""
        if self.problem:
            raise UnreadableImageError(self.problem)
        return self.encoded


@dataclasses.dataclass(frozen=True)
class RecordParser:
    """A parser of serialized records.

    An invalid record becomes an `ImageRecord` with a problem.

    The parser is written in Python, because TensorFlow's own parser fails for a whole batch if one record is invalid,
    and its error contains the bytes of that record. It is also three times as slow.

    Attributes:
        num_labels: Number of labels; valid labels are below it.
        label: The feature with the label; empty for records without labels.
        name: The feature with the name; empty for records without names.
    """

    num_labels: int
    label: str = ""
    name: str = ""

    def __call__(self, record: bytes, place: str) -> ImageRecord:
        """Parse a record.

        Args:
            record: The serialized record.
            place: The file and the number of the record, for its name.

        Returns:
            The content of the record, or the problem with it.
        """
        try:
            features = tf.train.Example.FromString(record).features.feature
        except Exception as error:  # an exception of protobuf, which this package imports in one place only
            return ImageRecord(place, problem=f"not a tf.train.Example ({type(error).__name__})")
        try:
            name = f"{place} ({os.fsdecode(_get_single_value(features, self.name))})" if self.name else place
            label = _get_single_value(features, self.label, "int64_list") if self.label else 0
            encoded = _get_single_value(features, "image")
        except LookupError as error:
            return ImageRecord(place, problem=f"the feature {error.args[0]} is not one value of the expected type")
        num_labels = max(self.num_labels, 1)
        problem = "" if 0 <= label < num_labels else f"expected a label from 0 to {num_labels - 1}, received {label}"
        return ImageRecord(name, encoded, label, problem)


@dataclasses.dataclass(frozen=True)
class RelabelingParser:
    """A parser of records of some of the classes, whose labels are numbered anew.

    Attributes:
        parse: The parser of records of all classes.
        new_labels: The new label of each label; -1 for classes without records.
    """

    parse: Callable[[bytes, str], ImageRecord]
    new_labels: tuple[int, ...]

    def __call__(self, record: bytes, place: str) -> ImageRecord:
        """Parse a record; see `RecordParser`."""
        parsed = self.parse(record, place)
        return parsed if parsed.problem else dataclasses.replace(parsed, label=self.new_labels[parsed.label])


def _get_single_value(features: Any, key: str, kind: str = "bytes_list") -> Any:
    """Return the value of a feature that has exactly one value.

    Raises:
        LookupError: The feature has no value of that kind, or several. The argument is its name.
    """
    values = getattr(features[key], kind).value
    if len(values) != 1:
        raise LookupError(key)
    return values[0]
