"""Record files that `tools/prepare_imagenet.py` writes: their format and how they are opened."""

from __future__ import annotations

import dataclasses
import json
import os
from typing import Any

import numpy as np
import tensorflow as tf

from sagan_tf.config import DataConfig
from sagan_tf.data.records.image_records import RecordParser
from sagan_tf.data.records.record_files import RecordFile, check_files_exist, prepare_again
from sagan_tf.data.sources.sequential import SequentialSource
from sagan_tf.errors import UserError
from sagan_tf.text import decode_text

METADATA_FILE = "dataset.json"
FORMAT = "sagan_tf.tfrecord.1"
_MOST = 2**40


@dataclasses.dataclass(frozen=True)
class TFRecordMetadata:
    """What `dataset.json` beside the record files says.

    Attributes:
        split: name of the split.
        resolution: height and width of the stored images.
        image_channels: channels of the stored images.
        class_names: empty if there are no labels.
        class_counts: images of each class.
        files: name and number of records of each file.
    """

    split: str
    resolution: int
    image_channels: int
    class_names: tuple[str, ...]
    class_counts: tuple[int, ...]
    files: tuple[tuple[str, int], ...]

    @property
    def num_examples(self) -> int:
        """Images in all files."""
        return sum(count for _, count in self.files)

    def write(self, folder: str) -> None:
        """Write `dataset.json` into `folder`; raise an `OSError` if it cannot."""
        content = {"format": FORMAT, "num_examples": self.num_examples} | dataclasses.asdict(self)
        try:
            with tf.io.gfile.GFile(os.path.join(folder, METADATA_FILE), "w") as file:
                file.write(json.dumps(content, indent=1) + "\n")
        except tf.errors.OpError as error:
            raise OSError(error.message) from error

    def _check(self) -> None:
        """Raise ValueError for what `write` never writes."""
        numbers = (self.resolution, self.image_channels, *self.class_counts, *(count for _, count in self.files))
        if not all(type(number) is int and 0 <= number < _MOST for number in numbers):
            raise ValueError("numbers that cannot be")
        if not all(isinstance(name, str) for name in (self.split, *self.class_names, *dict(self.files))):
            raise ValueError("names that are no text")
        if len(self.class_counts) != len(self.class_names):
            raise ValueError("counts of other classes")
        if any(os.path.basename(name) != name or name in ("", ".", "..") for name, _ in self.files):
            raise ValueError("files of other folders")

    @classmethod
    def read(cls, folder: str) -> TFRecordMetadata:
        """Read `dataset.json` of `folder`.

        Raises:
            UserError: it is missing or not in this format.
        """
        path = os.path.join(folder, METADATA_FILE)
        if not tf.io.gfile.exists(path):
            raise UserError(
                f"data_dir: expected {path}, which tools/prepare_imagenet.py writes beside its record files, but it "
                "does not exist; prepare the data with that tool, or pass its --output as --data_dir, and its --split"
            )
        with tf.io.gfile.GFile(path, "rb") as file:
            text = decode_text(file.read(), f"data_dir: {path}")
        try:
            content = json.loads(text)
            received = content.get("format") if isinstance(content, dict) else content
            if received == FORMAT:
                return cls._of(content)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise UserError(
                f"data_dir: expected {path} in the format {FORMAT}, received: {error!r}; {prepare_again(path)}"
            ) from error
        raise UserError(
            f"data_dir: expected {path} in the format {FORMAT}, received {received!r}; read it with the version of "
            "sagan_tf that wrote it, or prepare the data again in another directory"
        )

    @classmethod
    def _of(cls, content: dict[str, Any]) -> TFRecordMetadata:
        """Return what the content of a file says; raise nearly any error where it is not what `write` writes."""
        content = {key: value for key, value in content.items() if key != "format"}
        content.pop("num_examples")
        files = tuple((name, count) for name, count in content.pop("files"))
        names, counts = tuple(content.pop("class_names")), tuple(content.pop("class_counts"))
        metadata = cls(files=files, class_names=names, class_counts=counts, **content)
        metadata._check()
        return metadata


def serialize_record(encoded: bytes, label: int, name: bytes) -> bytes:
    """One record: an encoded image, its label (0 if there are none) and the name it had at its source."""
    features = {
        "image": tf.train.Feature(bytes_list=tf.train.BytesList(value=[encoded])),
        "label": tf.train.Feature(int64_list=tf.train.Int64List(value=[label])),
        "name": tf.train.Feature(bytes_list=tf.train.BytesList(value=[name])),
    }
    # Deterministic: a map's order is otherwise another one in each process.
    return tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString(deterministic=True)


def record_parser(class_names: tuple[str, ...]) -> RecordParser:
    """Return the inverse of `serialize_record`."""
    return RecordParser(len(class_names), label="label", name="name")


def open_tfrecord(data_config: DataConfig, *, resolution: int, image_channels: int) -> SequentialSource:
    """Open the split's folder in `data_config.data_dir`; an opener for `sources.DATASETS`.

    Raises:
        UserError: there is no metadata file, a record file is missing, or the stored images are smaller than
            `resolution`.
    """
    if not data_config.data_dir:
        raise UserError("data_dir: expected the folder that tools/prepare_imagenet.py wrote, received none")
    folder = os.path.join(data_config.data_dir, data_config.split)
    metadata = TFRecordMetadata.read(folder)
    if metadata.resolution < resolution:
        raise UserError(
            f"resolution: expected at most {metadata.resolution}, at which the images in {folder} are stored, received "
            f"{resolution}; prepare them again with tools/prepare_imagenet.py --resolution={resolution} and another "
            "--output"
        )
    files = tuple(RecordFile(os.path.join(folder, name), count) for name, count in metadata.files)
    check_files_exist(files)
    return SequentialSource(
        files,
        parse=record_parser(metadata.class_names),
        shuffle_buffer_size=data_config.shuffle_buffer_size,
        name=folder,
        class_names=metadata.class_names,
        class_counts=np.asarray(metadata.class_counts, np.int64),
        resolution=resolution,
        image_channels=image_channels,
    )
