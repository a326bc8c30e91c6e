"""TFDS data sets that are prepared on disk. This module never downloads anything."""

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
from sagan_tf.data.records.file_errors import check_files_exist, format_repair_advice
from sagan_tf.data.records.image_records import RecordParser
from sagan_tf.data.records.record_files import RecordFile, read_records_in_order
from sagan_tf.data.sources.sequential import SequentialSource
from sagan_tf.errors import UserError
from sagan_tf.text import format_python_command, make_printable

_MIN_LABEL_SAMPLE = 4096
_MAX_LABEL_SAMPLE_BYTES = 256 * 2**20
_LABEL_BATCH_SIZE = 64


def open_tfds(data_config: DataConfig, *, resolution: int, image_channels: int) -> SequentialSource:
    """Open the prepared TFDS data set `data_config.dataset`.

    If the data set is large, its class counts come from a sample of the labels; see `class_counts_sample_size`.

    Args:
        data_config: The data set. An empty `data_dir` means the default directory of TFDS.
        resolution: Height and width of the images after preprocessing, in pixels.
        image_channels: Channels of the images after preprocessing.

    Returns:
        The opened source.

    Raises:
        UserError: The name or the split is unknown, or the data set is not prepared, has no `image` feature or has
            records of another file format.
    """
    builder = _load_builder(data_config)
    features = _select_features(builder, data_config.dataset)
    files = _list_record_files(builder, data_config)
    class_names = tuple(features["label"].names) if "label" in features else ()
    # The form in which TFDS serializes tfds.features.Image, ClassLabel and Text. Its parser takes one record at a time.
    parse = RecordParser(len(class_names), *(key if key in features else "" for key in ("label", "file_name")))
    counts, sample_size = _count_labels(files, parse, _compute_bytes_per_record(builder))
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


def _load_builder(data_config: DataConfig) -> Any:
    """Create a `tfds.core.DatasetBuilder` from the prepared files.

    This needs neither the code of the data set nor a network.
    """
    import tensorflow_datasets as tfds
    from tensorflow_datasets.core import read_only_builder

    name, data_dir = data_config.dataset, data_config.data_dir or tfds.core.constants.DATA_DIR
    try:
        return read_only_builder.builder_from_files(name, data_dir=data_config.data_dir or None)
    except Exception as error:  # the files that describe the data set may contain anything
        if _is_system_error(error):
            raise UserError(
                f"data_dir: cannot read {name} in {data_dir} ({error}); check its permissions "
                "and that its file system is mounted"
            ) from error
        if damaged := _find_damaged_directory(name, data_dir):
            raise UserError(
                f"dataset: cannot read dataset_info.json and features.json of {name} in {make_printable(damaged)} "
                f"({type(error).__name__}); "
                f"{format_repair_advice(os.path.join(damaged, 'features.json'))}"
            ) from error
        # ValueError: the name does not have the form of a data set's name.
        if not isinstance(error, (tfds.core.registered.DatasetNotFoundError, ValueError)):
            raise
    known = sorted(set(tfds.list_builders(with_community_datasets=False)))
    if name.split("/")[0].split(":")[0] not in known:
        similar = difflib.get_close_matches(name, known, n=5)
        hint = f"; similar names: {', '.join(similar)}" if similar else ""
        raise UserError(
            "dataset: expected fashion_mnist_10k, folder, tfrecord or the name of a TFDS data set, received "
            f"{name!r}{hint}"
        )
    raise UserError(_describe_preparation(name, data_dir))


def _find_damaged_directory(name: str, data_dir: str) -> str | None:
    """Return the newest version's directory if its description is damaged.

    TFDS either fails for the directory or ignores it, but prepares nothing as long as it exists.

    Args:
        name: NAME, NAME/CONFIG, or either with :VERSION.
        data_dir: The directory in which TFDS prepares data sets.

    Returns:
        The damaged directory, or None.
    """
    from tensorflow_datasets.core import read_only_builder
    from tensorflow_datasets.core.utils.version import Version, list_all_versions

    base, _, version = name.partition(":")
    parent = os.path.join(os.path.expanduser(data_dir), base)
    if not os.path.isdir(parent) or (version and not Version.is_valid(version.replace("*", "0"))):
        return None
    configs = [] if "/" in base else sorted(os.listdir(parent))  # TFDS may use a default configuration
    for config_dir in (parent, *(os.path.join(parent, config) for config in configs)):
        versions = [found for found in list_all_versions(config_dir) if not version or found.match(version)]
        for newest in versions[-1:]:
            directory = os.path.join(config_dir, str(newest))
            try:
                read_only_builder.builder_from_directory(directory)
            except Exception as error:  # the files may contain anything
                return None if _is_system_error(error) or isinstance(error, ImportError) else directory
    return None


def _is_system_error(error: Exception) -> bool:
    """Return whether the system could not read files.

    TFDS also raises OSError for a missing file, which is not such an error.
    """
    return isinstance(error, OSError) and error.errno not in (None, errno.ENOENT)


def _describe_preparation(name: str, data_dir: str) -> str:
    """Return the message for a known data set that is not prepared."""
    manual = ""
    if name.split("/")[0].split(":")[0] == "imagenet2012":
        directory = os.path.join(data_dir, "downloads", "manual")
        manual = f"put ILSVRC2012_img_train.tar and ILSVRC2012_img_val.tar (from image-net.org) into {directory}, then "
    # JSON strings: their quotation marks need no escapes in a shell.
    arguments = f"{json.dumps(name)}, data_dir={json.dumps(data_dir, ensure_ascii=False)}"
    command = format_python_command(
        "-c", f"import tensorflow_datasets as tfds; tfds.builder({arguments}).download_and_prepare()"
    )
    return f"dataset: {name} is not prepared in {data_dir}; {manual}run: {command}"


def _select_features(builder: Any, name: str) -> Any:
    """Return the features `image`, `label` and `file_name`.

    `label` and `file_name` are left out if they do not exist with the expected types.
    """
    import tensorflow_datasets as tfds

    kinds = {"image": tfds.features.Image, "label": tfds.features.ClassLabel, "file_name": tfds.features.Text}
    features = dict(builder.info.features.items())
    wanted = {key: features[key] for key, kind in kinds.items() if isinstance(features.get(key), kind)}
    if "image" not in wanted:
        raise UserError(f"dataset: expected a data set with an image feature; {name} has only: {', '.join(features)}")
    return tfds.features.FeaturesDict(wanted)


def _list_record_files(builder: Any, data_config: DataConfig) -> tuple[RecordFile, ...]:
    """Return the record files of the split.

    Slices such as `train[:90%]` are split names too.
    """
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


def _compute_bytes_per_record(builder: Any) -> float:
    """Return the mean size of a record. TFDS does not know the size of a part of a split."""
    splits = builder.info.splits.values()
    return sum(split.num_bytes for split in splits) / max(1, sum(split.num_examples for split in splits))


def _count_labels(
    files: tuple[RecordFile, ...], parse: RecordParser, bytes_per_record: float
) -> tuple[np.ndarray, int]:
    """Count the labels of a sample of the records.

    The sample has as many records as can be read quickly, evenly from all files.

    Args:
        files: The record files of the split.
        parse: The parser of the records.
        bytes_per_record: Mean size of a record.

    Returns:
        The label histogram, int64 [classes], and the number of records that it counts.
    """
    num_classes = parse.num_labels
    num_examples = sum(file.num_examples for file in files)
    if not num_classes:
        return np.zeros(0, np.int64), num_examples
    affordable = int(_MAX_LABEL_SAMPLE_BYTES / max(1.0, bytes_per_record))
    fraction = min(1.0, max(_MIN_LABEL_SAMPLE, affordable) / max(1, num_examples))
    if not files:
        return np.zeros(num_classes, np.int64), 0
    sample = tuple(RecordFile(file.path, math.ceil(fraction * file.num_examples), file.skip) for file in files)
    skipped = SkippedRecords(tuple(file.path for file in files), num_examples)
    with skipped.raise_user_errors():
        batches = read_records_in_order(sample, skipped.check_file).batch(_LABEL_BATCH_SIZE).as_numpy_iterator()
        # Only labels are kept, because the images of a sample may not fit into memory.
        parsed = (parse(record, "") for _, _, records in batches for record in records)
        found = [(record.label, bool(record.problem)) for record in parsed]
    if any(label < 0 for label, _ in found):
        raise UserError(f"split: expected labeled images, received images without labels in {files[0].path}")
    # Records with a problem are reported as unreadable images when they are drawn.
    labels = [label for label, has_problem in found if not has_problem]
    return np.bincount(np.array(labels, np.int64), minlength=num_classes), len(labels)
