"""Creation of the packaged data set, a balanced subset of Fashion-MNIST with the same bytes each time.

    apt-get install dataset-fashion-mnist
    python tools/make_fashion_mnist_10k.py

The subset has, of each class, the first `--images_per_class` images in the order of the original training file, and the
first `--reference_images_per_class` in the order of the original test file. The two splits are disjoint because the two
original files are. `PROVENANCE.md`, which is written next to the images, describes all this with the checksums.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import os
import subprocess
import sys
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from sagan_tf.cli.command_line import run_command_line
from sagan_tf.config.option import check_positive, option
from sagan_tf.files import check_can_write_directory, write_result_atomically
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


@dataclasses.dataclass(frozen=True)
class PackagingOptions:
    """Directories and sizes."""

    source: str = option(str(DEBIAN_DIRECTORY), "Directory of the four original files.")
    output: str = option(str(REPOSITORY / "sagan_tf" / "data" / "fashion_mnist_10k"), "Directory to write to.")
    images_per_class: int = option(1000, "Images of each class in the split train.")
    reference_images_per_class: int = option(200, "Images of each class in the split reference.")

    def __post_init__(self) -> None:
        check_positive(self, "images_per_class", "reference_images_per_class")


def make_arrays(source: Path, images_per_class: int, reference_images_per_class: int) -> dict[str, Any]:
    """Return the arrays of the packaged file by name; see PROVENANCE."""
    (train_images, train_labels), (reference_images, reference_labels) = (
        read_split(source, split) for split in SPLIT_FILES
    )
    train = find_first_of_each_class(train_labels, images_per_class)
    reference = find_first_of_each_class(reference_labels, reference_images_per_class, "reference_images_per_class")
    return {
        "train_images": train_images[train],
        "train_labels": train_labels[train],
        "reference_images": reference_images[reference],
        "reference_labels": reference_labels[reference],
        "class_names": np.array(CLASS_NAMES),
    }


def format_provenance(source: Path, output: Path, options: PackagingOptions) -> str:
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


def main(options: PackagingOptions) -> None:
    """Write the data set and its provenance.

    Raises:
        UserError: The original files cannot be read, a class has too few images, or the output cannot be written.
    """
    source, output = Path(os.path.expanduser(options.source)), Path(os.path.expanduser(options.output))
    check_can_write_directory(output, "output")
    check_source(source)
    arrays = make_arrays(source, options.images_per_class, options.reference_images_per_class)
    content = io.BytesIO()
    np.savez_compressed(content, **arrays)
    write_result_atomically(output / OUTPUT_FILE, "output", content.getvalue())
    provenance = format_provenance(source, output, options)
    write_result_atomically(output / "PROVENANCE.md", "output", provenance)


def run(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status."""
    return run_command_line("tools/make_fashion_mnist_10k.py", __doc__, main, PackagingOptions, argv=argv)


if __name__ == "__main__":
    sys.exit(run())
