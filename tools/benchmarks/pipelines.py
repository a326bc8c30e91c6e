"""Input pipelines that are compared, each read by a worker."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from tools.benchmarks.measure import Measurement

if TYPE_CHECKING:
    import tensorflow as tf

TFDS_NAME = "photographs"
"""Name of the TFDS data set of a benchmark."""
_SHUFFLE_BUFFER = 256


class Batches(NamedTuple):
    """Form of the batches.

    Attributes:
        directory: The directory that the benchmark has written.
        resolution: Height and width of the images.
        batch_size: Images in a batch.
    """

    directory: Path
    resolution: int
    batch_size: int


def prepare_pipeline(
    *, pipeline: str, directory: str, resolution: int, batch: int, batches: int, warm_up: int
) -> Measurement:
    """Open a pipeline, and read a batch.

    Args:
        pipeline: A name in `PIPELINES`.
        directory: The directory that the benchmark has written.
        resolution: Height and width of the images.
        batch: Images in a batch.
        batches: Batches in a round.
        warm_up: Batches before a round, which are not counted.

    Returns:
        The measurement of the seconds and processor seconds for each image of a round. `shape` and `range` are those of
        the first batch.
    """
    dataset = PIPELINES[pipeline].open(Batches(Path(directory), resolution, batch))
    first = next(iter(dataset))
    images = (first["images"] if isinstance(first, dict) else first[0]).numpy()

    def measure() -> dict[str, float]:
        remaining = iter(dataset)  # A new iterator has no batches of the previous round in its buffer.
        for _ in range(warm_up):
            next(remaining)
        start, processor_start = time.perf_counter(), time.process_time()
        for _ in range(batches):
            next(remaining)
        seconds, processor_seconds = time.perf_counter() - start, time.process_time() - processor_start
        count = batches * batch
        return {"seconds": seconds / count, "processor_seconds": processor_seconds / count}

    return Measurement(measure, {"shape": list(images.shape), "range": [float(images.min()), float(images.max())]})


def _create_plain_pipeline(form: Batches, **resize: Any) -> tf.data.Dataset:
    """Create a pipeline such as most code that uses TFDS has.

    TFDS decodes the images. They are cropped to the largest center square and resized by `tf.image.resize`.
    """
    import tensorflow as tf
    import tensorflow_datasets as tfds

    def prepare(example: dict[str, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        image, size = example["image"], tf.shape(example["image"])
        side = tf.minimum(size[0], size[1])
        square = tf.image.crop_to_bounding_box(image, (size[0] - side) // 2, (size[1] - side) // 2, side, side)
        return tf.image.resize(square, [form.resolution] * 2, **resize) / 127.5 - 1.0, example["label"]

    (directory,) = (form.directory / "tfds" / TFDS_NAME).iterdir()
    images = tfds.builder_from_directory(directory).as_dataset(split="train", shuffle_files=True)
    images = images.repeat().shuffle(_SHUFFLE_BUFFER).map(prepare, num_parallel_calls=tf.data.AUTOTUNE)
    return images.batch(form.batch_size, drop_remainder=True).prefetch(tf.data.AUTOTUNE)


def _create_plain_record_pipeline(form: Batches) -> tf.data.Dataset:
    """Create a pipeline of TensorFlow operations that reads prepared records.

    `tools/prepare_imagenet.py` writes the record files.
    """
    import tensorflow as tf

    features = {"image": tf.io.FixedLenFeature([], tf.string), "label": tf.io.FixedLenFeature([], tf.int64)}

    def prepare(record: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        example = tf.io.parse_single_example(record, features)
        image = tf.io.decode_jpeg(example["image"], channels=3)
        return tf.cast(image, tf.float32) / 127.5 - 1.0, example["label"]

    paths = sorted(map(str, (form.directory / "prepared" / "train").glob("*.tfrecord")))
    records = (
        tf.data.Dataset.from_tensor_slices(paths)
        .shuffle(len(paths))
        .interleave(tf.data.TFRecordDataset, num_parallel_calls=tf.data.AUTOTUNE)
    )
    images = records.repeat().shuffle(_SHUFFLE_BUFFER).map(prepare, num_parallel_calls=tf.data.AUTOTUNE)
    return images.batch(form.batch_size, drop_remainder=True).prefetch(tf.data.AUTOTUNE)


def _create_project_pipeline(form: Batches, dataset: str, subdirectory: str) -> tf.data.Dataset:
    """Create the pipeline that training uses."""
    from sagan_tf.config import DataConfig
    from sagan_tf.data.pipeline import make_training_dataset
    from sagan_tf.data.sources.registry import open_source

    data_dir = str(form.directory / subdirectory)
    config = DataConfig(dataset=dataset, data_dir=data_dir, shuffle_buffer_size=_SHUFFLE_BUFFER)
    source = open_source(config, resolution=form.resolution, image_channels=3)
    return make_training_dataset(source, batch_size=form.batch_size, seed=0, position=0, random_flip=False)


class Pipeline(NamedTuple):
    """An input pipeline.

    Attributes:
        title: Title in the table.
        open: A function that creates the pipeline, as a data set of batches.
    """

    title: str
    open: Callable[[Batches], tf.data.Dataset]


PIPELINES = {
    "plain": Pipeline("plain TFDS: decode, crop, resize (bilinear, aliases)", _create_plain_pipeline),
    "plain_antialiased": Pipeline(
        "plain TFDS: the same, antialiased bicubic as ours",
        lambda form: _create_plain_pipeline(form, method="bicubic", antialias=True),
    ),
    "ours": Pipeline("ours, the same TFDS records", lambda form: _create_project_pipeline(form, TFDS_NAME, "tfds")),
    "ours_folder": Pipeline(
        "ours, the same JPEGs in a folder", lambda form: _create_project_pipeline(form, "folder", "folder")
    ),
    "plain_prepared": Pipeline("plain TensorFlow, prepared records", _create_plain_record_pipeline),
    "ours_prepared": Pipeline(
        "ours, prepared records", lambda form: _create_project_pipeline(form, "tfrecord", "prepared")
    ),
}
