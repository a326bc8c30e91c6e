"""TFDS data sets that are prepared on disk. Nothing is ever downloaded here."""

from __future__ import annotations

import difflib
import math
import os
from typing import Any

import numpy as np

from sagan_tf.config import DataConfig
from sagan_tf.data.damaged_records import SkippedRecords
from sagan_tf.data.image_records import RecordParser
from sagan_tf.data.record_files import RecordFile, check_files_exist, records_in_order
from sagan_tf.data.sequential import SequentialSource
from sagan_tf.errors import UserError

_SMALLEST_LABEL_SAMPLE = 4096
_LABEL_SAMPLE_BYTES = 256 * 2**20
_LABELS_READ_AT_ONCE = 64


def open_tfds(data_config: DataConfig, *, resolution: int, image_channels: int) -> SequentialSource:
    """Opens the prepared TFDS data set `data_config.dataset`, in `data_config.data_dir` or TFDS's default folder.

    Class counts come from a sample of the labels where the data set is large: see `class_counts_sample_size`.

    Raises:
        UserError: unknown name, not prepared, unknown split, no `image` feature, or records of another file format.
    """
    builder = _prepared_builder(data_config)
    features = _image_features(builder, data_config.dataset)
    files = _record_files(builder, data_config)
    class_names = tuple(features["label"].names) if "label" in features else ()
    # As TFDS serializes tfds.features.Image, ClassLabel and Text; its own parser takes one record at a time.
    parse = RecordParser(len(class_names), *(key if key in features else "" for key in ("label", "file_name")))
    num_bytes = builder.info.splits[data_config.split].num_bytes
    counts, sample_size = _count_labels(files, parse, num_bytes)
    return SequentialSource(
        files,
        parse=parse,
        shuffle_buffer_size=data_config.shuffle_buffer_size,
        stored_at_random=not builder.info.disable_shuffling,
        name=f"{data_config.dataset} ({data_config.split})",
        class_names=class_names,
        class_counts=counts,
        class_counts_sample_size=sample_size,
        resolution=resolution,
        image_channels=image_channels,
    )


def _prepared_builder(data_config: DataConfig) -> Any:
    """A `tfds.core.DatasetBuilder` made from the files alone: neither code of the data set nor a network is needed."""
    import tensorflow_datasets as tfds
    from tensorflow_datasets.core import read_only_builder

    name, data_dir = data_config.dataset, data_config.data_dir or None
    try:
        return read_only_builder.builder_from_files(name, data_dir=data_dir)
    except (tfds.core.registered.DatasetNotFoundError, ValueError):  # ValueError: not even the form of a name
        pass
    except Exception as error:  # of the files that say what the data set is, and may say anything
        where = data_dir or tfds.core.constants.DATA_DIR
        raise UserError(
            f"dataset: expected {name} as TFDS prepares it in {where}, received files that cannot be read "
            f"({type(error).__name__}); prepare it again"
        ) from error
    known = sorted(set(tfds.list_builders(with_community_datasets=False)))
    if name.split("/")[0].split(":")[0] not in known:
        near = difflib.get_close_matches(name, known, n=5)
        hint = f"; near names: {', '.join(near)}" if near else ""
        raise UserError(
            "dataset: expected fashion_mnist_10k, folder, tfrecord or the name of a TFDS data set, received "
            f"{name!r}{hint}"
        )
    raise UserError(_not_prepared(name, data_config.data_dir or tfds.core.constants.DATA_DIR))


def _not_prepared(name: str, data_dir: str) -> str:
    """The message for a known data set that is not on disk."""
    manual = ""
    if name.split("/")[0].split(":")[0] == "imagenet2012":
        folder = os.path.join(data_dir, "downloads", "manual")
        manual = f"put ILSVRC2012_img_train.tar and ILSVRC2012_img_val.tar (from image-net.org) into {folder}, then "
    command = (
        f"""python -c "import tensorflow_datasets as tfds; tfds.builder('{name}', data_dir='{data_dir}')"""
        '''.download_and_prepare()"'''
    )
    return f"dataset: expected {name} prepared in {data_dir}, found none; {manual}run: {command}"


def _image_features(builder: Any, name: str) -> Any:
    """The data set's features `image`, `label` and `file_name`, the last two where it has them in that form."""
    import tensorflow_datasets as tfds

    kinds = {"image": tfds.features.Image, "label": tfds.features.ClassLabel, "file_name": tfds.features.Text}
    features = dict(builder.info.features.items())
    wanted = {key: features[key] for key, kind in kinds.items() if isinstance(features.get(key), kind)}
    if "image" not in wanted:
        received = ", ".join(features)
        raise UserError(f"dataset: expected a data set with an image feature, received {name}, which has: {received}")
    return tfds.features.FeaturesDict(wanted)


def _record_files(builder: Any, data_config: DataConfig) -> tuple[RecordFile, ...]:
    """Where the split's records are; slices such as `train[:90%]` are split names too."""
    import tensorflow_datasets as tfds

    file_format = builder.info.file_format
    if file_format != tfds.core.FileFormat.TFRECORD:
        received = file_format.value if file_format else "unknown"
        raise UserError(f"dataset: expected {data_config.dataset} prepared as tfrecord files, received {received}")
    try:
        instructions = builder.info.splits[data_config.split].file_instructions
    except (KeyError, ValueError) as error:
        expected = ", ".join(builder.info.splits)
        raise UserError(f"split: expected one of {expected}, received {data_config.split!r}") from error
    files = tuple(RecordFile(str(part.filename), part.take, part.skip) for part in instructions)
    check_files_exist(files)
    return files


def _count_labels(files: tuple[RecordFile, ...], parse: RecordParser, num_bytes: int) -> tuple[np.ndarray, int]:
    """Label histogram, int64 [classes], of as many records as are read quickly, evenly from all files."""
    num_classes = parse.num_labels
    num_examples = sum(file.num_examples for file in files)
    if not num_classes:
        return np.zeros(0, np.int64), num_examples
    affordable = int(_LABEL_SAMPLE_BYTES / max(1.0, num_bytes / max(1, num_examples)))
    fraction = min(1.0, max(_SMALLEST_LABEL_SAMPLE, affordable) / max(1, num_examples))
    if not files:
        return np.zeros(num_classes, np.int64), 0
    sample = tuple(RecordFile(file.path, math.ceil(fraction * file.num_examples), file.skip) for file in files)
    skipped = SkippedRecords(tuple(file.path for file in files), num_examples)
    with skipped.raising_user_errors():
        batches = records_in_order(sample, skipped.checked).batch(_LABELS_READ_AT_ONCE).as_numpy_iterator()
        parsed = [parse(record, "") for _, _, records in batches for record in records]
    if any(record.label < 0 for record in parsed):
        raise UserError(f"split: expected labelled images, received images without labels in {files[0].path}")
    # Others are unreadable images when their turn comes.
    labels = [record.label for record in parsed if not record.problem]
    return np.bincount(np.array(labels, np.int64), minlength=num_classes), len(labels)
