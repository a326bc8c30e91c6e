"""Creation of the packaged data set, a balanced subset of Fashion-MNIST with the same bytes each time.

    apt-get install dataset-fashion-mnist
    python tools/make_fashion_mnist_10k.py

The subset has, of each class, the first `--images_per_class` images in the order of the original training file, and the
first `--reference_images_per_class` in the order of the original test file. The two splits are disjoint because the two
original files are. `PROVENANCE.md`, which is written next to the images, describes all this with the checksums.
"""

from __future__ import annotations

import argparse
import hashlib
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from sagan_tf.cli.console import run_action, run_command
from sagan_tf.files import check_can_write_directory, replace_atomically, write_atomically
from tools.preparation.fashion_mnist import (
    CLASS_NAMES,
    DEBIAN_DIRECTORY,
    SPLIT_FILES,
    check_source,
    find_first_of_each_class,
    read_split,
)

REPOSITORY = Path(__file__).resolve().parent.parent
OUTPUT_FILE = "fashion_mnist_10k.npz"
PROVENANCE = """\
# Where fashion_mnist_10k comes from

A balanced subset of **Fashion-MNIST** (Xiao, Rasul, Vollgraf 2017, arXiv 1708.07747;
https://github.com/zalandoresearch/fashion-mnist), Copyright 2017 Zalando SE, https://tech.zalando.com, under the MIT
license in `LICENSE` beside this file. The images are unchanged.

- Source: Debian package `dataset-fashion-mnist`, version {package_version},
  installed in `/usr/share/datasets/fashion-mnist`.
- Split `train`: of each of the 10 classes, the first {images_per_class:,} images in the order of
  `train-images-idx3-ubyte.gz`.
- Split `reference`: of each class, the first {reference_images_per_class:,} images in the order of
  `t10k-images-idx3-ubyte.gz`, which shares no record with the training file.
- Both splits keep the order of their original file.
- Arrays: `train_images` uint8 [{train_count}, 28, 28], `train_labels` uint8 [{train_count}], `reference_images` uint8
  [{reference_count}, 28, 28], `reference_labels` uint8 [{reference_count}], `class_names` unicode [10].
- Made by `python tools/make_fashion_mnist_10k.py`, which writes this file too. The arrays are the same everywhere; the
  bytes of the file are the same wherever zlib is the same (here {zlib_version}).

| file | sha256 |
|---|---|
{checksums}
"""


def make_arrays(source: Path, images_per_class: int, reference_images_per_class: int) -> dict[str, np.ndarray]:
    """Return the arrays of the packaged file by name; see PROVENANCE."""
    (train_images, train_labels), (reference_images, reference_labels) = (
        read_split(source, split) for split in SPLIT_FILES
    )
    train = find_first_of_each_class(train_labels, images_per_class)
    reference = find_first_of_each_class(reference_labels, reference_images_per_class)
    return {
        "train_images": train_images[train],
        "train_labels": train_labels[train],
        "reference_images": reference_images[reference],
        "reference_labels": reference_labels[reference],
        "class_names": np.array(CLASS_NAMES),
    }


def format_provenance(source: Path, output: Path, options: argparse.Namespace) -> str:
    """Return the text of PROVENANCE.md for the packaged file in `output`."""
    package = ["dpkg-query", "--show", "--showformat=${Version}", "dataset-fashion-mnist"]
    version = subprocess.run(package, capture_output=True, text=True, check=False).stdout or "unknown"
    files = [source / name for names in SPLIT_FILES.values() for name in names] + [output / OUTPUT_FILE]
    rows = [f"| `{path.name}` | `{hashlib.sha256(path.read_bytes()).hexdigest()}` |" for path in files]
    return PROVENANCE.format(
        package_version=version,
        images_per_class=options.images_per_class,
        reference_images_per_class=options.reference_images_per_class,
        train_count=options.images_per_class * len(CLASS_NAMES),
        reference_count=options.reference_images_per_class * len(CLASS_NAMES),
        zlib_version=zlib.ZLIB_RUNTIME_VERSION,
        checksums="\n".join(rows),
    )


def main(arguments: list[str] | None = None) -> int:
    """Run the command and return its exit status."""
    parser = argparse.ArgumentParser(description="Make the packaged data set from the original Fashion-MNIST files.")
    parser.add_argument("--source", type=Path, default=DEBIAN_DIRECTORY)
    parser.add_argument("--output", type=Path, default=REPOSITORY / "sagan_tf" / "data" / "fashion_mnist_10k")
    parser.add_argument("--images_per_class", type=int, default=1000)
    parser.add_argument("--reference_images_per_class", type=int, default=200)
    options = parser.parse_args(arguments)
    return run_action(parser.prog, lambda: make_files(options))


def make_files(options: argparse.Namespace) -> None:
    """Write the data set and its provenance."""
    check_can_write_directory(options.output, "output")
    check_source(options.source)
    arrays = make_arrays(options.source, options.images_per_class, options.reference_images_per_class)
    with replace_atomically(options.output / OUTPUT_FILE) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, **arrays)
    write_atomically(options.output / "PROVENANCE.md", format_provenance(options.source, options.output, options))


if __name__ == "__main__":
    sys.exit(run_command("make_fashion_mnist_10k", main))
