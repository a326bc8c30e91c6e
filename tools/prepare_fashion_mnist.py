"""Prepares Fashion-MNIST as record files: 60,000 training images in DIR/train and 10,000 test images in DIR/test.

    apt-get install dataset-fashion-mnist
    python tools/prepare_fashion_mnist.py --output=DIR

`--images_per_class=5` keeps only the first 5 training images of each class, to study training on few images.

Training then reads DIR with `--dataset=tfrecord --data_dir=DIR`. A split appears when everything of it is written. The
same command goes on where it was interrupted, and leaves a split as it is that has these images at this resolution.
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
    SPLITS,
    check_source,
    first_of_each_class,
    read_split,
)
from tools.preparation.record_set import RecordFormat, describe, write_record_set

NAME = "tools/prepare_fashion_mnist.py"
INTERRUPTED = 130


def prepare(source: Path, split: str, output: Path, resolution: int, images_per_class: int = 0) -> str:
    """Write a split to DIR/SPLIT unless it is there; return what to say of it.

    Args:
        source: The directory of the original files.
        split: `train` or `test`.
        output: DIR.
        resolution: Height and width to store.
        images_per_class: Number of images of each class to keep, the first ones; 0: all.
    """
    load_tensorflow()
    from sagan_tf.data.sources.packaged import EmbeddedSource
    from sagan_tf.data.sources.tfrecord import TFRecordMetadata

    images, labels = read_split(source, split)
    if images_per_class:
        try:
            places = first_of_each_class(labels, images_per_class)
        except ValueError as error:
            raise UserError(f"--images_per_class: {error}") from error
        images, labels = images[places], labels[places]
    directory = output / split
    if (directory / "dataset.json").exists():
        found = TFRecordMetadata.read(str(directory))
        if (found.num_examples, found.resolution, found.class_names) == (len(images), resolution, CLASS_NAMES):
            return f"{directory}: {found.num_examples} images are there already"
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
    # Nothing is decoded, so that further processes would not be faster.
    metadata = write_record_set(embedded, directory, RecordFormat(split), settings, num_workers=1)
    counts = ", ".join(f"{name} {count}" for name, count in zip(CLASS_NAMES, metadata.class_counts, strict=True))
    return f"{describe(directory, metadata, embedded)} ({counts})"


def main(arguments: list[str] | None = None) -> int:
    """Run the command; return its exit status."""
    parser = argparse.ArgumentParser(description="Stores Fashion-MNIST in record files.")
    parser.add_argument("--source", type=Path, default=DEBIAN_DIRECTORY, help="directory of the four original files")
    parser.add_argument("--output", required=True, type=Path, help="directory to write to")
    parser.add_argument("--resolution", type=int, default=32, help="height and width to store; the images have 28")
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
        kept = {"train": options.images_per_class, "test": 0}
        for split in SPLITS:
            print(prepare(options.source, split, output, options.resolution, kept[split]), flush=True)
        return 0
    except KeyboardInterrupt as interruption:
        print(f"{NAME}: interrupted: {str(interruption) or 'before it began to write'}", file=sys.stderr)
        return INTERRUPTED
    except UserError as error:
        print(f"{NAME}: error: {make_printable(str(error))}", file=sys.stderr)
    except OSError as error:
        print(f"{NAME}: error: cannot write {output}: {error}; the same command goes on from there", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(run_command(NAME, main))
