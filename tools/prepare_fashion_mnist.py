"""Preparation of Fashion-MNIST as record files: 60,000 training images in DIR/train, 10,000 test images in DIR/test.

    apt-get install dataset-fashion-mnist
    python tools/prepare_fashion_mnist.py --output=DIR

`--images_per_class=5` keeps only the first 5 training images of each class, to study training with few images.

Training then reads DIR with `--dataset=tfrecord --data_dir=DIR`. A split appears when all of it has been written. The
same command continues interrupted work, and skips a split that already has these images at this resolution.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from sagan_tf.cli.console import run_command
from sagan_tf.cli.load_tensorflow import load_tensorflow
from sagan_tf.errors import UserError
from sagan_tf.files import check_can_write_directory
from sagan_tf.tensorflow_paths import check_tensorflow_path
from sagan_tf.text import make_printable
from tools.preparation.fashion_mnist import (
    CLASS_NAMES,
    DEBIAN_DIRECTORY,
    SPLIT_FILES,
    check_source,
    find_first_of_each_class,
    read_split,
)
from tools.preparation.record_set import RecordFormat, describe_record_set, write_record_set

NAME = "tools/prepare_fashion_mnist.py"
INTERRUPTED_STATUS = 130


def prepare(source: Path, split: str, output: Path, resolution: int, images_per_class: int = 0) -> str:
    """Write a split to DIR/SPLIT unless it exists.

    Args:
        source: Directory of the original files.
        split: `train` or `test`.
        output: DIR.
        resolution: Height and width to store.
        images_per_class: Number of images of each class to keep, the first ones; 0: all.

    Returns:
        A line that describes the split.
    """
    load_tensorflow()
    from sagan_tf.data.sources.packaged import EmbeddedSource
    from sagan_tf.data.sources.tfrecord import TFRecordMetadata

    images, labels = read_split(source, split)
    if images_per_class:
        try:
            indices = find_first_of_each_class(labels, images_per_class)
        except ValueError as error:
            raise UserError(f"--images_per_class: {error}") from error
        images, labels = images[indices], labels[indices]
    directory = output / split
    if (directory / "dataset.json").exists():
        stored = TFRecordMetadata.read(str(directory))
        if (stored.num_examples, stored.resolution, stored.class_names) == (len(images), resolution, CLASS_NAMES):
            return f"{directory}: {stored.num_examples} images already exist"
    embedded = EmbeddedSource(
        name="fashion_mnist",
        split=split,
        images=images,
        labels=labels,
        class_names=CLASS_NAMES,
        resolution=resolution,
        image_channels=1,
    )
    settings: dict[str, Any] = {"--source": str(source), "--resolution": resolution}
    if images_per_class:
        settings["--images_per_class"] = images_per_class
    # More processes would not be faster, since nothing is decoded.
    metadata = write_record_set(embedded, directory, RecordFormat(split), settings, num_workers=1)
    counts = ", ".join(f"{name} {count}" for name, count in zip(CLASS_NAMES, metadata.class_counts, strict=True))
    return f"{describe_record_set(directory, metadata, embedded)} ({counts})"


def main(arguments: list[str] | None = None) -> int:
    """Run the command and return its exit status."""
    parser = argparse.ArgumentParser(description="Store Fashion-MNIST in record files.")
    parser.add_argument("--source", type=Path, default=DEBIAN_DIRECTORY, help="directory of the four original files")
    parser.add_argument("--output", required=True, type=Path, help="directory to write to")
    parser.add_argument("--resolution", type=int, default=32, help="height and width to store; the original is 28")
    parser.add_argument("--images_per_class", type=int, default=0, help="training images of each class; 0: all")
    options = parser.parse_args(arguments)
    if options.images_per_class < 0:
        parser.error(f"--images_per_class: expected 0 or more, received {options.images_per_class}")
    if options.resolution < 1:
        parser.error(f"--resolution: expected at least 1, received {options.resolution}")
    output = options.output.expanduser()
    try:
        check_source(options.source)
        check_tensorflow_path("output", output)
        check_can_write_directory(output, "output")
        images_per_class = {"train": options.images_per_class, "test": 0}
        for split in SPLIT_FILES:
            print(prepare(options.source, split, output, options.resolution, images_per_class[split]), flush=True)
        return 0
    except KeyboardInterrupt as interruption:
        print(f"{NAME}: interrupted: {str(interruption) or 'before writing began'}", file=sys.stderr)
        return INTERRUPTED_STATUS
    except UserError as error:
        print(f"{NAME}: error: {make_printable(str(error))}", file=sys.stderr)
    except OSError as error:
        print(
            f"{NAME}: error: --output: cannot write {output}: {error}; run the same command again to continue",
            file=sys.stderr,
        )
    return 2


if __name__ == "__main__":
    sys.exit(run_command(NAME, main))
