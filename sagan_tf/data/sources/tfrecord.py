"""Record files that `tools/prepare_imagenet.py` writes: their format, and how to open them."""

from __future__ import annotations

import dataclasses
import json
import os
from typing import Any

import numpy as np
import tensorflow as tf

from sagan_tf.config import DataConfig
from sagan_tf.data.records.file_errors import check_files_exist, format_access_error, format_repair_advice
from sagan_tf.data.records.image_records import RecordParser
from sagan_tf.data.records.record_files import RecordFile
from sagan_tf.data.sources.sequential import SequentialSource
from sagan_tf.errors import UserError
from sagan_tf.text import decode_text

METADATA_FILE = "dataset.json"
FORMAT = "sagan_tf.tfrecord.1"
_MAX_NUMBER = 2**40


@dataclasses.dataclass(frozen=True)
class TFRecordMetadata:
    """The content of `dataset.json` beside the record files.

    Attributes:
        split: Name of the split.
        resolution: Height and width of the stored images, in pixels.
        image_channels: Channels of the stored images.
        class_names: One name for each label; empty if there are no labels.
        class_counts: Number of images of each class.
        files: Name and number of records of each file.
    """

    split: str
    resolution: int
    image_channels: int
    class_names: tuple[str, ...]
    class_counts: tuple[int, ...]
    files: tuple[tuple[str, int], ...]

    @property
    def num_examples(self) -> int:
        """Number of images in all files."""
        return sum(count for _, count in self.files)

    def write(self, directory: str) -> None:
        """Write `dataset.json` into `directory`; raise OSError if that fails."""
        content = {"format": FORMAT, "num_examples": self.num_examples} | dataclasses.asdict(self)
        try:
            with tf.io.gfile.GFile(os.path.join(directory, METADATA_FILE), "w") as file:
                file.write(json.dumps(content, indent=1) + "\n")
        except tf.errors.OpError as error:
            raise OSError(error.message) from error

    def _check(self) -> None:
        """Raise ValueError for values that `write` never writes."""
        numbers = (self.resolution, self.image_channels, *self.class_counts, *(count for _, count in self.files))
        if not all(type(number) is int and 0 <= number < _MAX_NUMBER for number in numbers):
            raise ValueError("numbers out of range")
        if not all(isinstance(name, str) for name in (self.split, *self.class_names, *dict(self.files))):
            raise ValueError("names that are not text")
        if len(self.class_counts) != len(self.class_names):
            raise ValueError("class_names and class_counts of different lengths")
        if any(os.path.basename(name) != name or name in ("", ".", "..") for name, _ in self.files):
            raise ValueError("files in other directories")

    @classmethod
    def read(cls, directory: str) -> TFRecordMetadata:
        """Read `dataset.json` from a directory.

        Args:
            directory: The directory of the split.

        Returns:
            The metadata.

        Raises:
            UserError: The file is missing or has another format.
        """
        path = os.path.join(directory, METADATA_FILE)
        if not tf.io.gfile.exists(path):
            raise UserError(
                f"data_dir: {path} does not exist, which tools/prepare_imagenet.py writes beside the record files; "
                "prepare the data with that tool, or pass the same --split and, as --data_dir, the tool's --output"
            )
        try:
            with tf.io.gfile.GFile(path, "rb") as file:
                content = file.read()
        except tf.errors.OpError as error:
            raise UserError(format_access_error(path, error)) from error
        text = decode_text(content, f"data_dir: {path}")
        try:
            content = json.loads(text)
            received = content.get("format") if isinstance(content, dict) else content
            if received == FORMAT:
                return cls._from_content(content)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise UserError(
                f"data_dir: expected {path} in the format {FORMAT}, received: {error!r}; {format_repair_advice(path)}"
            ) from error
        raise UserError(
            f"data_dir: expected {path} in the format {FORMAT}, received {received!r}; read it with the version of "
            "sagan_tf that wrote it, or prepare the data again in another directory"
        )

    @classmethod
    def _from_content(cls, content: dict[str, Any]) -> TFRecordMetadata:
        """Parse the content of the metadata file.

        Raises almost any exception if `write` did not write the content.
        """
        content = {key: value for key, value in content.items() if key != "format"}
        content.pop("num_examples")
        files = tuple((name, count) for name, count in content.pop("files"))
        names, counts = tuple(content.pop("class_names")), tuple(content.pop("class_counts"))
        metadata = cls(files=files, class_names=names, class_counts=counts, **content)
        metadata._check()
        return metadata


def serialize_record(encoded: bytes, label: int, name: bytes) -> bytes:
    """Serialize a record.

    Args:
        encoded: The content of an image file.
        label: The label; 0 if there are no labels.
        name: The name of the image in its source.

    Returns:
        A serialized `tf.train.Example`.
    """
    features = {
        "image": tf.train.Feature(bytes_list=tf.train.BytesList(value=[encoded])),
        "label": tf.train.Feature(int64_list=tf.train.Int64List(value=[label])),
        "name": tf.train.Feature(bytes_list=tf.train.BytesList(value=[name])),
    }
    # Deterministic, because the order of a map would otherwise differ between processes.
    return tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString(deterministic=True)


def make_record_parser(class_names: tuple[str, ...]) -> RecordParser:
    """Create the parser of records from `serialize_record`."""
    return RecordParser(len(class_names), label="label", name="name")


def open_tfrecord(data_config: DataConfig, *, resolution: int, image_channels: int) -> SequentialSource:
    """Open a split in `data_config.data_dir`; an opener for `registry.DATASETS`.

    Args:
        data_config: The data set.
        resolution: Height and width of the images after preprocessing, in pixels.
        image_channels: Channels of the images after preprocessing.

    Returns:
        The opened source.

    Raises:
        UserError: The metadata file or a record file is missing, or the stored images are smaller than `resolution`.
    """
    if not data_config.data_dir:
        raise UserError(
            "data_dir: expected the directory that tools/prepare_imagenet.py wrote, received an empty path; pass the "
            "tool's --output as --data_dir"
        )
    directory = os.path.join(data_config.data_dir, data_config.split)
    metadata = TFRecordMetadata.read(directory)
    if metadata.resolution < resolution:
        raise UserError(
            f"resolution: expected at most {metadata.resolution}, at which the images in {directory} are stored, "
            f"received {resolution}; prepare them again with tools/prepare_imagenet.py --resolution={resolution} and "
            "another --output"
        )
    files = tuple(RecordFile(os.path.join(directory, name), count) for name, count in metadata.files)
    check_files_exist(files)
    return SequentialSource(
        files,
        parse=make_record_parser(metadata.class_names),
        shuffle_buffer_size=data_config.shuffle_buffer_size,
        name=directory,
        class_names=metadata.class_names,
        class_counts=np.asarray(metadata.class_counts, np.int64),
        resolution=resolution,
        image_channels=image_channels,
    )
