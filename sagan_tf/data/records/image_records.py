"""One record: an encoded image, and perhaps its label and its name, in a `tf.train.Example`."""

from __future__ import annotations

import dataclasses
import os
from typing import Any

import tensorflow as tf

from sagan_tf.data.images.limits import UnreadableImageError


@dataclasses.dataclass(frozen=True)
class ImageRecord:
    """What is in a record.

    Attributes:
        name: of the record by file and number, and the name that is stored in it.
        encoded: the image, a whole file.
        label: 0 if there are no labels.
        problem: why its image cannot be used; empty if it can.
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
    """Takes records apart. A record that is none, or holds something else, is one with a problem.

    In Python: TensorFlow's own parser gives up a whole batch for one record, and its error then holds that record's
    bytes. It is also three times as slow.

    Attributes:
        num_labels: labels are below it.
        label: the feature with the label; empty if there is none.
        name: the feature with the name; empty if there is none.
    """

    num_labels: int
    label: str = ""
    name: str = ""

    def __call__(self, record: bytes, place: str) -> ImageRecord:
        """Parse a record that is called `place` by its file and number."""
        try:
            features = tf.train.Example.FromString(record).features.feature
        except Exception as error:  # protobuf's own, whose module has one door in this package
            return ImageRecord(place, problem=f"no tf.train.Example ({type(error).__name__})")
        try:
            name = f"{place} ({os.fsdecode(_one(features, self.name))})" if self.name else place
            label = _one(features, self.label, "int64_list") if self.label else 0
            encoded = _one(features, "image")
        except LookupError as error:
            return ImageRecord(place, problem=f"expected one {error.args[0]} in it, received another number or kind")
        problem = "" if label < max(self.num_labels, 1) and label >= 0 else self._wrong(label)
        return ImageRecord(name, encoded, label, problem)

    def _wrong(self, label: int) -> str:
        return f"expected a label from 0 to {max(self.num_labels, 1) - 1}, received {label}"


def _one(features: Any, key: str, kind: str = "bytes_list") -> Any:
    """Return the value of a feature; raise LookupError with its name unless it has exactly one."""
    values = getattr(features[key], kind).value
    if len(values) != 1:
        raise LookupError(key)
    return values[0]
