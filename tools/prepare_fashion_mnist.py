"""Preparation of Fashion-MNIST as record files: 60,000 training images in DIR/train, 10,000 test images in DIR/test.

    apt-get install dataset-fashion-mnist
    python tools/prepare_fashion_mnist.py --output=DIR

`--images_per_class=5` keeps only the first 5 training images of each class, to study training with few images.
`--tail_ratio=100` keeps fewer images of each following class, and of the last class a hundredth of those of the first,
to study training with unbalanced classes.

Training then reads DIR with `--dataset=tfrecord --data_dir=DIR`. A split appears when all of it has been written. The
same command continues interrupted work, and skips a split that already has these images at this resolution.
"""

from __future__ import annotations

import dataclasses
import math
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from sagan_tf.cli.command_line import run_command_line
from sagan_tf.cli.load_tensorflow import load_tensorflow
from sagan_tf.config.option import check_at_least_zero, check_given, check_positive, option
from sagan_tf.errors import UserError
from sagan_tf.files import check_can_write_directory
from sagan_tf.tensorflow_paths import check_tensorflow_path
from tools.preparation.fashion_mnist import (
    CLASS_NAMES,
    DEBIAN_DIRECTORY,
    SPLIT_FILES,
    check_source,
    find_first_of_each_class,
    read_split,
)
from tools.preparation.record_set import RecordFormat, describe_record_set, write_record_set


@dataclasses.dataclass(frozen=True)
class PreparationOptions:
    """Directories and sizes."""

    source: str = option(str(DEBIAN_DIRECTORY), "Directory of the four original files.")
    output: str = option("", "Directory to write to.")
    resolution: int = option(32, "Height and width to store; the original is 28.")
    images_per_class: int = option(0, "Training images of each class, the first ones; 0: all.")
    tail_ratio: float = option(
        1.0,
        "Training images of the first class divided by those of the last class. The numbers between fall exponentially "
        "(Cui et al. 2019); 1: no reduction.",
    )

    def __post_init__(self) -> None:
        check_given(self, "output")
        check_positive(self, "resolution")
        check_at_least_zero(self, "images_per_class")
        if not 1 <= self.tail_ratio < math.inf:
            raise UserError(f"tail_ratio: expected a number of at least 1, received {self.tail_ratio}")


def prepare(
    source: Path, split: str, output: Path, resolution: int, images_per_class: int = 0, tail_ratio: float = 1.0
) -> str:
    """Write a split to DIR/SPLIT unless it exists.

    Args:
        source: Directory of the original files.
        split: `train` or `test`.
        output: DIR.
        resolution: Height and width to store.
        images_per_class: Number of images of each class to keep, the first ones; 0: all.
        tail_ratio: Number of images of the first class to keep divided by that of the last class.

    Returns:
        A line that describes the split.
    """
    load_tensorflow()
    from sagan_tf.data.sources.packaged import EmbeddedSource
    from sagan_tf.data.sources.tfrecord import TFRecordMetadata

    images, labels = read_split(source, split)
    if images_per_class or tail_ratio > 1:
        largest = images_per_class or int(np.bincount(labels).min())
        indices = find_first_of_each_class(labels, largest, tail_ratio=tail_ratio)
        images, labels = images[indices], labels[indices]
    directory = output / split
    if (directory / "dataset.json").exists():
        stored = TFRecordMetadata.read(str(directory))
        counts = tuple(np.bincount(labels, minlength=len(CLASS_NAMES)).tolist())
        if (stored.class_counts, stored.resolution, stored.class_names) == (counts, resolution, CLASS_NAMES):
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
    if tail_ratio > 1:
        settings["--tail_ratio"] = tail_ratio
    # More processes would not be faster, since nothing is decoded.
    metadata = write_record_set(embedded, directory, RecordFormat(split), settings, num_workers=1)
    described = ", ".join(f"{name} {count}" for name, count in zip(CLASS_NAMES, metadata.class_counts, strict=True))
    return f"{describe_record_set(directory, metadata, embedded)} ({described})"


def main(options: PreparationOptions) -> None:
    """Write both splits, and describe them on standard output.

    Raises:
        UserError: The original files cannot be used, or the output cannot be written.
    """
    source, output = (Path(os.path.expanduser(path)) for path in (options.source, options.output))
    check_source(source)
    check_tensorflow_path("output", output)
    check_can_write_directory(output, "output")
    selection = {"train": (options.images_per_class, options.tail_ratio), "test": (0, 1.0)}
    for split in SPLIT_FILES:
        print(prepare(source, split, output, options.resolution, *selection[split]), flush=True)


def run(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status."""
    return run_command_line("tools/prepare_fashion_mnist.py", __doc__, main, PreparationOptions, argv=argv)


if __name__ == "__main__":
    sys.exit(run())
