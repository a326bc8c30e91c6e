"""Preparation of Fashion-MNIST as record files: 60,000 training images in DIR/train, 10,000 test images in DIR/test.

    apt-get install dataset-fashion-mnist
    python tools/prepare_fashion_mnist.py --output=DIR

`--images_per_class=5` keeps only the first 5 training images of each class, to study training with few images.
`--tail_ratio=100` keeps fewer images of each following class, and of the last class a hundredth of those of the first,
to study training with unbalanced classes.
`--classes=Dress,Bag` keeps only these classes in both splits, to study fine-tuning on other classes.

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

from sagan_tf.class_labels import find_labels
from sagan_tf.cli.command_line import run_command_line
from sagan_tf.cli.load_tensorflow import load_tensorflow
from sagan_tf.config.option import check_at_least_zero, check_given, check_positive, option
from sagan_tf.errors import UserError
from sagan_tf.files import check_can_write_directory
from sagan_tf.tensorflow_paths import check_tensorflow_path
from sagan_tf.text import join_comma_list
from tools.preparation.fashion_mnist import (
    CLASS_NAMES,
    DEBIAN_DIRECTORY,
    SPLIT_FILES,
    check_source,
    find_first_of_each_class,
    read_split,
    select_classes,
)
from tools.preparation.record_set import RecordFormat, describe_record_set, write_record_set


@dataclasses.dataclass(frozen=True)
class PreparationOptions:
    """Directories and sizes."""

    source: str = option(str(DEBIAN_DIRECTORY), "Directory of the four original files.")
    output: str = option("", "Directory to write to.")
    resolution: int = option(32, "Height and width to store; the original is 28.")
    classes: tuple[str, ...] = option((), "Comma list of the classes to keep, by name or number; empty: all.")
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
        labels = find_labels(self.classes, len(CLASS_NAMES), CLASS_NAMES, "classes")
        if len(set(labels)) < len(labels):
            raise UserError(f"classes: expected each class once, received {join_comma_list(self.classes)}")
        if not 1 <= self.tail_ratio < math.inf:
            raise UserError(f"tail_ratio: expected a number of at least 1, received {self.tail_ratio}")
        if self.tail_ratio > 1 and len(labels) == 1:
            raise UserError(
                f"tail_ratio: expected at least two classes to reduce, received --tail_ratio={self.tail_ratio:g} and "
                f"--classes={join_comma_list(self.classes)}; leave one of them out"
            )


def read_examples(
    source: Path, split: str, classes: Sequence[str], images_per_class: int, tail_ratio: float
) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """Return the images, the labels and the names of the classes of a split; see `prepare`."""
    selected = find_labels(classes, len(CLASS_NAMES), CLASS_NAMES, "classes")
    images, labels, class_names = select_classes(*read_split(source, split), selected)
    if images_per_class or tail_ratio > 1:
        num_classes = len(class_names)
        largest = images_per_class or int(np.bincount(labels, minlength=num_classes).min())
        indices = find_first_of_each_class(labels, largest, num_classes=num_classes, tail_ratio=tail_ratio)
        images, labels = images[indices], labels[indices]
    return images, labels, class_names


def prepare(
    source: Path,
    split: str,
    output: Path,
    resolution: int,
    *,
    classes: Sequence[str] = (),
    images_per_class: int = 0,
    tail_ratio: float = 1.0,
) -> str:
    """Write a split to DIR/SPLIT unless it exists.

    Args:
        source: Directory of the original files.
        split: `train` or `test`.
        output: DIR.
        resolution: Height and width to store.
        classes: Classes to keep, by name or number; empty: all.
        images_per_class: Number of images of each class to keep, the first ones; 0: all.
        tail_ratio: Number of images of the first class to keep divided by that of the last class.

    Returns:
        A line that describes the split.
    """
    load_tensorflow()
    from sagan_tf.data.sources.packaged import EmbeddedSource
    from sagan_tf.data.sources.tfrecord import TFRecordMetadata

    images, labels, class_names = read_examples(source, split, classes, images_per_class, tail_ratio)
    directory = output / split
    if (directory / "dataset.json").exists():
        stored = TFRecordMetadata.read(str(directory))
        found = tuple(np.bincount(labels, minlength=len(class_names)).tolist()), resolution, class_names
        if (stored.class_counts, stored.resolution, stored.class_names) == found:
            return f"{directory}: {stored.num_examples} images already exist"
    embedded = EmbeddedSource(
        name="fashion_mnist",
        split=split,
        images=images,
        labels=labels,
        class_names=class_names,
        resolution=resolution,
        image_channels=1,
    )
    settings: dict[str, Any] = {"--source": str(source), "--resolution": resolution}
    settings |= {"--classes": join_comma_list(class_names)} if classes else {}
    settings |= {"--images_per_class": images_per_class} if images_per_class else {}
    settings |= {"--tail_ratio": tail_ratio} if tail_ratio > 1 else {}
    # More processes would not be faster, since nothing is decoded.
    metadata = write_record_set(embedded, directory, RecordFormat(split), settings, num_workers=1)
    counts = ", ".join(f"{name} {count}" for name, count in zip(class_names, metadata.class_counts, strict=True))
    return f"{describe_record_set(directory, metadata, embedded)} ({counts})"


def main(options: PreparationOptions) -> None:
    """Write both splits, and describe them on standard output.

    Raises:
        UserError: The original files cannot be used, or the output cannot be written.
    """
    source, output = (Path(os.path.expanduser(path)) for path in (options.source, options.output))
    check_source(source)
    check_tensorflow_path("output", output)
    check_can_write_directory(output, "output")
    reductions: dict[str, Any] = {"images_per_class": options.images_per_class, "tail_ratio": options.tail_ratio}
    for split in SPLIT_FILES:
        reduced = reductions if split == "train" else {}
        print(prepare(source, split, output, options.resolution, classes=options.classes, **reduced), flush=True)


def run(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status."""
    return run_command_line("tools/prepare_fashion_mnist.py", __doc__, main, PreparationOptions, argv=argv)


if __name__ == "__main__":
    sys.exit(run())
