"""One input pipeline as a worker of `tools/benchmarks/pipeline.py`: batches of training images, a round at a time."""

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


def plain(data: Path, options: argparse.Namespace, **resize: Any) -> tf.data.Dataset:
    """TFDS's own decoding, the largest centre square, `tf.image.resize`: what most code that reads TFDS does."""
    import tensorflow as tf
    import tensorflow_datasets as tfds

    def prepare(example: dict[str, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        image, size = example["image"], tf.shape(example["image"])
        side = tf.minimum(size[0], size[1])
        square = tf.image.crop_to_bounding_box(image, (size[0] - side) // 2, (size[1] - side) // 2, side, side)
        return tf.image.resize(square, [options.resolution] * 2, **resize) / 127.5 - 1.0, example["label"]

    (folder,) = (data / "tfds" / TFDS_NAME).iterdir()
    images = tfds.builder_from_directory(folder).as_dataset(split="train", shuffle_files=True)
    images = images.repeat().shuffle(_SHUFFLE_BUFFER).map(prepare, num_parallel_calls=tf.data.AUTOTUNE)
    return images.batch(options.batch, drop_remainder=True).prefetch(tf.data.AUTOTUNE)


def plain_prepared(data: Path, options: argparse.Namespace) -> tf.data.Dataset:
    """Return the record files of `tools/prepare_imagenet.py`, read with TensorFlow's operations alone."""
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


def ours(dataset: str, data_dir: Path, options: argparse.Namespace) -> tf.data.Dataset:
    """Return what training reads."""
    from sagan_tf.config import DataConfig
    from sagan_tf.data.pipeline import training_dataset
    from sagan_tf.data.sources.registry import open_source

    config = DataConfig(dataset=dataset, data_dir=str(data_dir), shuffle_buffer_size=_SHUFFLE_BUFFER)
    source = open_source(config, resolution=options.resolution, image_channels=3)
    return training_dataset(source, batch_size=options.batch, seed=0, position=0, random_flip=False)


def open_pipeline(options: argparse.Namespace) -> tf.data.Dataset:
    """Return the dataset of batches that `options.pipeline` names."""
    data = options.data
    return {
        "plain": lambda: plain(data, options),
        "plain_antialiased": lambda: plain(data, options, method="bicubic", antialias=True),
        "ours": lambda: ours(TFDS_NAME, data / "tfds", options),
        "ours_folder": lambda: ours("folder", data / "folder", options),
        "plain_prepared": lambda: plain_prepared(data, options),
        "ours_prepared": lambda: ours("tfrecord", data / "prepared", options),
    }[options.pipeline]()


def measured(dataset: tf.data.Dataset, options: argparse.Namespace) -> dict[str, float]:
    """Of one round: seconds and processor seconds for each image."""
    batches = iter(dataset)  # a new one: no batches of the last round wait in its buffer
    for _ in range(options.warm_up):
        next(batches)
    start, processor_start = time.perf_counter(), time.process_time()
    for _ in range(options.batches):
        next(batches)
    images = options.batches * options.batch
    seconds, processor_seconds = time.perf_counter() - start, time.process_time() - processor_start
    return {"seconds": seconds / images, "processor_seconds": processor_seconds / images}


def main() -> None:
    """Open the pipeline, and serve."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_batch_arguments(parser)
    parser.add_argument("--pipeline", choices=list(PIPELINES), required=True)
    parser.add_argument("--data", type=Path, required=True, help="folder that the benchmark wrote")
    options = parser.parse_args()
    dataset = open_pipeline(options)
    first = next(iter(dataset))
    images = first["images"] if isinstance(first, dict) else first[0]
    about = {"shape": list(images.shape), "range": [float(images.numpy().min()), float(images.numpy().max())]}
    del images, first
    serve(about, lambda: measured(dataset, options))


if __name__ == "__main__":
    main()
