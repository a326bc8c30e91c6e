"""Worker of `tools/benchmarks/pipeline.py` that reads batches of training images from one input pipeline."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tools.benchmarks.pipeline import PIPELINES, add_batch_arguments
from tools.benchmarks.pipeline_data import TFDS_NAME
from tools.benchmarks.workers import serve

if TYPE_CHECKING:
    import tensorflow as tf

_SHUFFLE_BUFFER = 256


def create_plain_pipeline(data: Path, options: argparse.Namespace, **resize: Any) -> tf.data.Dataset:
    """Create a pipeline such as most code that uses TFDS has.

    TFDS decodes the images. They are cropped to the largest center square and resized by `tf.image.resize`.
    """
    import tensorflow as tf
    import tensorflow_datasets as tfds

    def prepare(example: dict[str, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        image, size = example["image"], tf.shape(example["image"])
        side = tf.minimum(size[0], size[1])
        square = tf.image.crop_to_bounding_box(image, (size[0] - side) // 2, (size[1] - side) // 2, side, side)
        return tf.image.resize(square, [options.resolution] * 2, **resize) / 127.5 - 1.0, example["label"]

    (directory,) = (data / "tfds" / TFDS_NAME).iterdir()
    images = tfds.builder_from_directory(directory).as_dataset(split="train", shuffle_files=True)
    images = images.repeat().shuffle(_SHUFFLE_BUFFER).map(prepare, num_parallel_calls=tf.data.AUTOTUNE)
    return images.batch(options.batch, drop_remainder=True).prefetch(tf.data.AUTOTUNE)


def create_plain_record_pipeline(data: Path, options: argparse.Namespace) -> tf.data.Dataset:
    """Create a pipeline of TensorFlow operations that reads prepared records.

    `tools/prepare_imagenet.py` writes the record files.
    """
    import tensorflow as tf

    features = {"image": tf.io.FixedLenFeature([], tf.string), "label": tf.io.FixedLenFeature([], tf.int64)}

    def prepare(record: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        example = tf.io.parse_single_example(record, features)
        image = tf.io.decode_jpeg(example["image"], channels=3)
        return tf.cast(image, tf.float32) / 127.5 - 1.0, example["label"]

    paths = sorted(map(str, (data / "prepared" / "train").glob("*.tfrecord")))
    records = (
        tf.data.Dataset.from_tensor_slices(paths)
        .shuffle(len(paths))
        .interleave(tf.data.TFRecordDataset, num_parallel_calls=tf.data.AUTOTUNE)
    )
    images = records.repeat().shuffle(_SHUFFLE_BUFFER).map(prepare, num_parallel_calls=tf.data.AUTOTUNE)
    return images.batch(options.batch, drop_remainder=True).prefetch(tf.data.AUTOTUNE)


def create_project_pipeline(dataset: str, data_dir: Path, options: argparse.Namespace) -> tf.data.Dataset:
    """Create the pipeline that training uses."""
    from sagan_tf.config import DataConfig
    from sagan_tf.data.pipeline import make_training_dataset
    from sagan_tf.data.sources.registry import open_source

    config = DataConfig(dataset=dataset, data_dir=str(data_dir), shuffle_buffer_size=_SHUFFLE_BUFFER)
    source = open_source(config, resolution=options.resolution, image_channels=3)
    return make_training_dataset(source, batch_size=options.batch, seed=0, position=0, random_flip=False)


def open_pipeline(options: argparse.Namespace) -> tf.data.Dataset:
    """Create the pipeline that `options.pipeline` names, as a data set of batches."""
    data = options.data
    return {
        "plain": lambda: create_plain_pipeline(data, options),
        "plain_antialiased": lambda: create_plain_pipeline(data, options, method="bicubic", antialias=True),
        "ours": lambda: create_project_pipeline(TFDS_NAME, data / "tfds", options),
        "ours_folder": lambda: create_project_pipeline("folder", data / "folder", options),
        "plain_prepared": lambda: create_plain_record_pipeline(data, options),
        "ours_prepared": lambda: create_project_pipeline("tfrecord", data / "prepared", options),
    }[options.pipeline]()


def measure_round(dataset: tf.data.Dataset, options: argparse.Namespace) -> dict[str, float]:
    """Measure the seconds and processor seconds for each image, over one round."""
    batches = iter(dataset)  # A new iterator has no batches of the previous round in its buffer.
    for _ in range(options.warm_up):
        next(batches)
    start, processor_start = time.perf_counter(), time.process_time()
    for _ in range(options.batches):
        next(batches)
    images = options.batches * options.batch
    seconds, processor_seconds = time.perf_counter() - start, time.process_time() - processor_start
    return {"seconds": seconds / images, "processor_seconds": processor_seconds / images}


def main() -> None:
    """Open the pipeline, and serve requests."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_batch_arguments(parser)
    parser.add_argument("--pipeline", choices=list(PIPELINES), required=True)
    parser.add_argument("--data", type=Path, required=True, help="directory that the benchmark wrote")
    options = parser.parse_args()
    dataset = open_pipeline(options)
    first = next(iter(dataset))
    images = first["images"] if isinstance(first, dict) else first[0]
    about = {"shape": list(images.shape), "range": [float(images.numpy().min()), float(images.numpy().max())]}
    del images, first
    serve(about, lambda: measure_round(dataset, options))


if __name__ == "__main__":
    main()
