"""Prepares a large data set once: images cropped, resized and stored in shuffled, sharded record files.

    python tools/prepare_imagenet.py --dataset=imagenet2012 --data_dir=TFDS_DIR --split=train --output=DIR
    python tools/prepare_imagenet.py --dataset=folder --data_dir=IMAGES --split=train --output=DIR --resolution=128

Training then reads DIR with `--dataset=tfrecord --data_dir=DIR --split=train`. Nothing appears as DIR/train before
everything is written.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf
import tqdm

from sagan_tf.config import DataConfig
from sagan_tf.data.source import Source
from sagan_tf.data.sources import open_source
from sagan_tf.data.tfrecord import TFRecordMetadata, serialize_record
from sagan_tf.errors import UserError

IMAGES_PER_FILE = 5000
"""By default: files of some 70 MB at 128 pixels, 256 for ImageNet: up to 256 workers then have files of their own."""


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """Reads the command line; leaves with status 2 if it is wrong."""
    parser = argparse.ArgumentParser(description="Stores a data set's images, cropped and resized, in record files.")
    parser.add_argument("--dataset", default="imagenet2012", help="folder, or the name of a prepared TFDS data set")
    parser.add_argument("--data_dir", default="", help="where that data is; empty: TFDS's default folder")
    parser.add_argument("--split", default="train", help="split to read, and name of the folder written in --output")
    parser.add_argument("--output", required=True, type=Path, help="folder to write to")
    parser.add_argument("--resolution", type=int, default=128, help="height and width to store")
    parser.add_argument("--image_channels", type=int, default=3, choices=(1, 3, 4))
    parser.add_argument("--num_shards", type=int, default=0, help=f"files; 0: one for each {IMAGES_PER_FILE} images")
    parser.add_argument("--format", default="jpeg", choices=("jpeg", "png"), help="png loses nothing and is larger")
    parser.add_argument("--quality", type=int, default=95, help="of JPEG")
    parser.add_argument(
        "--shuffle_buffer_size", type=int, default=16384, help="records mixed where they come in sequence"
    )
    options = parser.parse_args(arguments)
    if options.image_channels == 4 and options.format == "jpeg":
        parser.error("--image_channels=4: expected --format=png, since JPEG has no alpha")
    if options.resolution < 1 or options.num_shards < 0:
        parser.error("expected --resolution of at least 1 and --num_shards of at least 0")
    if not 1 <= options.quality <= 100:
        parser.error(f"--quality: expected 1 to 100, received {options.quality}")
    return options


def encoded_records(source: Source, image_format: str, quality: int) -> tf.data.Dataset:
    """One shuffled epoch of `source` with images encoded: dataset of (position, label, name, encoded)."""

    def encode(example: dict[str, tf.Tensor]) -> tuple[tf.Tensor, ...]:
        if image_format == "png":
            encoded = tf.io.encode_png(example["image"])
        else:
            encoded = tf.io.encode_jpeg(example["image"], quality=quality, chroma_downsampling=False)
        return example["position"], example["label"], example["name"], encoded

    epoch = source.examples(seed=0, position=0).take_while(lambda example: example["position"] < source.num_examples)
    return epoch.map(encode, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True).prefetch(tf.data.AUTOTUNE)


def write_record_files(source: Source, folder: Path, options: argparse.Namespace) -> TFRecordMetadata:
    """Writes the record files and the metadata into `folder`, with a progress bar."""
    total = source.num_examples
    num_shards = min(total, options.num_shards or max(1, total // IMAGES_PER_FILE))
    names = [f"{options.split}-{index:05d}-of-{num_shards:05d}.tfrecord" for index in range(num_shards)]
    counts: np.ndarray = np.zeros(num_shards, np.int64)
    class_counts: np.ndarray = np.zeros(len(source.class_names), np.int64)
    with contextlib.ExitStack() as writers, tqdm.tqdm(total=total, unit="image") as progress:
        # All files are open at once and take turns, so that each gets images of the whole epoch.
        files = [writers.enter_context(tf.io.TFRecordWriter(str(folder / name))) for name in names]
        with source.skipped.raising_user_errors():
            for position, label, name, encoded in encoded_records(
                source, options.format, options.quality
            ).as_numpy_iterator():
                shard = position % num_shards
                files[shard].write(serialize_record(encoded, int(label), name))
                counts[shard] += 1
                if len(class_counts):
                    class_counts[label] += 1
                progress.update(position + 1 - progress.n)
    metadata = TFRecordMetadata(
        split=options.split,
        resolution=options.resolution,
        image_channels=options.image_channels,
        class_names=source.class_names,
        class_counts=tuple(class_counts.tolist()),
        files=tuple(zip(names, counts.tolist(), strict=True)),
    )
    metadata.write(str(folder))
    return metadata


@contextlib.contextmanager
def whole_or_nothing(folder: Path) -> Iterator[Path]:
    """Gives a folder to write in that becomes `folder` at the end, or vanishes if anything fails."""
    unfinished = folder.with_name(f".{folder.name}.unfinished-{os.getpid()}")
    unfinished.mkdir(parents=True)
    try:
        yield unfinished
        unfinished.rename(folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def main(arguments: list[str] | None = None) -> int:
    """Runs the command; returns its exit status."""
    options = parse_arguments(arguments)
    data_config = DataConfig(
        dataset=options.dataset,
        data_dir=options.data_dir,
        split=options.split,
        shuffle_buffer_size=options.shuffle_buffer_size,
    )
    output = options.output.expanduser() / options.split
    try:
        if output.exists():
            raise UserError(
                f"--output: expected a folder without {options.split} in it, received {output}, which exists"
            )
        source = open_source(data_config, resolution=options.resolution, image_channels=options.image_channels)
        with whole_or_nothing(output) as folder:
            metadata = write_record_files(source, folder, options)
    except UserError as error:
        print(f"tools/prepare_imagenet.py: error: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"tools/prepare_imagenet.py: error: --output: cannot write {output}: {error}", file=sys.stderr)
        return 2
    print(
        f"{output}: {metadata.num_examples} images of {len(metadata.class_names)} classes in "
        f"{len(metadata.files)} files; {source.skipped.count} unreadable images left out"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
