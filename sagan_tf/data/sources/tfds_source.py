"""TFDS data sets that are prepared on disk. Nothing is ever downloaded here."""

from __future__ import annotations

import difflib
import errno
import json
import math
import os
from typing import Any

import numpy as np

from sagan_tf.config import DataConfig
from sagan_tf.data.records.damaged_records import SkippedRecords
from sagan_tf.data.records.image_records import RecordParser
from sagan_tf.data.records.record_files import RecordFile, check_files_exist, prepare_again, records_in_order
from sagan_tf.data.sources.sequential import SequentialSource
from sagan_tf.errors import UserError
from sagan_tf.text import printable, python_command

_SMALLEST_LABEL_SAMPLE = 4096
_LABEL_SAMPLE_BYTES = 256 * 2**20
_LABELS_READ_AT_ONCE = 64


def open_tfds(data_config: DataConfig, *, resolution: int, image_channels: int) -> SequentialSource:
    """Open the prepared TFDS data set `data_config.dataset`, in `data_config.data_dir` or TFDS's default folder.

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
    """Create a `tfds.core.DatasetBuilder` from the files alone, without code of the data set or a network."""
    import tensorflow_datasets as tfds
    from tensorflow_datasets.core import read_only_builder

    name, data_dir = data_config.dataset, data_config.data_dir or tfds.core.constants.DATA_DIR
    try:
        return read_only_builder.builder_from_files(name, data_dir=data_config.data_dir or None)
    except Exception as error:  # the files that describe the data set may hold anything
        if _is_of_system(error):
            raise UserError(
                f"data_dir: cannot read {name} in {data_dir} ({error}); check its permissions "
                "and that its file system is mounted"
            ) from error
        if damaged := _damaged_directory(name, data_dir):
            raise UserError(
                f"dataset: expected {name} as TFDS prepares it, received {printable(damaged)}, whose files "
                f"dataset_info.json and features.json cannot be read ({type(error).__name__}); "
                f"{prepare_again(os.path.join(damaged, 'features.json'))}"
            ) from error
        # ValueError: the name does not even have the form of one.
        if not isinstance(error, (tfds.core.registered.DatasetNotFoundError, ValueError)):
            raise
    known = sorted(set(tfds.list_builders(with_community_datasets=False)))
    if name.split("/")[0].split(":")[0] not in known:
        near = difflib.get_close_matches(name, known, n=5)
        hint = f"; near names: {', '.join(near)}" if near else ""
        raise UserError(
            "dataset: expected fashion_mnist_10k, folder, tfrecord or the name of a TFDS data set, received "
            f"{name!r}{hint}"
        )
    raise UserError(_not_prepared(name, data_dir))


def _damaged_directory(name: str, data_dir: str) -> str | None:
    """Return the newest version of a data set in `data_dir`, if TFDS cannot tell what it is.

    TFDS either fails on it or does not see it, but prepares nothing as long as its directory exists.

    Args:
        name: NAME, NAME/CONFIG, or either with :VERSION.
        data_dir: Directory in which TFDS prepares data sets.
    """
    from tensorflow_datasets.core import read_only_builder
    from tensorflow_datasets.core.utils.version import Version, list_all_versions

    base, _, version = name.partition(":")
    parent = os.path.join(os.path.expanduser(data_dir), base)
    if not os.path.isdir(parent) or (version and not Version.is_valid(version.replace("*", "0"))):
        return None
    configs = [] if "/" in base else sorted(os.listdir(parent))  # TFDS may have a configuration by default
    for place in (parent, *(os.path.join(parent, config) for config in configs)):
        versions = [one for one in list_all_versions(place) if not version or one.match(version)]
        for newest in versions[-1:]:
            directory = os.path.join(place, str(newest))
            try:
                read_only_builder.builder_from_directory(directory)
            except Exception as error:  # the files may hold anything
                return None if _is_of_system(error) or isinstance(error, ImportError) else directory
    return None


def _is_of_system(error: Exception) -> bool:
    """Return whether files could not be read, whatever is in them; TFDS raises an OSError too where one is missing."""
    return isinstance(error, OSError) and error.errno not in (None, errno.ENOENT)


def _not_prepared(name: str, data_dir: str) -> str:
    """Return the message for a known data set that is not on disk."""
    manual = ""
    if name.split("/")[0].split(":")[0] == "imagenet2012":
        folder = os.path.join(data_dir, "downloads", "manual")
        manual = f"put ILSVRC2012_img_train.tar and ILSVRC2012_img_val.tar (from image-net.org) into {folder}, then "
    # Strings as in JSON: their quotation marks need no escapes in a shell.
    arguments = f"{json.dumps(name)}, data_dir={json.dumps(data_dir, ensure_ascii=False)}"
    command = python_command(
        "-c", f"import tensorflow_datasets as tfds; tfds.builder({arguments}).download_and_prepare()"
    )
    return f"dataset: expected {name} prepared in {data_dir}, found none; {manual}run: {command}"


def _image_features(builder: Any, name: str) -> Any:
    """Return the data set's features `image`, `label` and `file_name`, the last two where it has them in that form."""
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
