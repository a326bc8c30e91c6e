"""Original files of Fashion-MNIST, as the Debian package dataset-fashion-mnist installs them."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from sagan_tf.errors import UserError

DEBIAN_DIRECTORY = Path("/usr/share/datasets/fashion-mnist")
CLASS_NAMES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
SPLIT_FILES = {
    "train": ("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"),
    "test": ("t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"),
}
"""Files of the images and of the labels of each split."""


def check_source(source: Path) -> None:
    """Raise UserError if a directory lacks one of the files."""
    missing = [name for names in SPLIT_FILES.values() for name in names if not (source / name).is_file()]
    if missing:
        names = ", ".join(missing)
        raise UserError(f"source: {source} lacks {names}; run `apt-get install dataset-fashion-mnist`")


def read_split(source: Path, split: str) -> tuple[np.ndarray, np.ndarray]:
    """Read a split.

    Args:
        source: Directory of the four files.
        split: `train` or `test`.

    Returns:
        Images, uint8 `[n, 28, 28]`, and labels, uint8 `[n]`.

    Raises:
        UserError: A file is damaged, or the two files do not belong together.
    """
    images, labels = (read_idx(source / name) for name in SPLIT_FILES[split])
    is_valid = images.ndim == 3 and labels.shape == images.shape[:1] and (labels < len(CLASS_NAMES)).all()
    if not is_valid:
        raise UserError(
            f"source: expected images of one size with a label below {len(CLASS_NAMES)} each in "
            f"{' and '.join(SPLIT_FILES[split])} of {source}, received arrays {images.shape} and {labels.shape}"
        )
    return images, labels


def select_classes(
    images: np.ndarray, labels: np.ndarray, selected: Sequence[int]
) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """Return the examples of some classes.

    Args:
        images: Images [n, ...].
        labels: Labels, integers [n].
        selected: Labels of the classes to keep, in the order of their new labels 0, 1, ...

    Returns:
        The images, the new labels and the names of the classes.
    """
    new_labels = np.full(len(CLASS_NAMES), -1)
    new_labels[list(selected)] = np.arange(len(selected))
    is_kept = new_labels[labels] >= 0
    return images[is_kept], new_labels[labels[is_kept]], tuple(CLASS_NAMES[label] for label in selected)


def compute_tail_counts(largest: int, tail_ratio: float, num_classes: int = len(CLASS_NAMES)) -> list[int]:
    """Return numbers of images that fall exponentially from the first class to the last.

    Args:
        largest: Number of images of the first class.
        tail_ratio: The number of images of the first class divided by that of the last class, at least 1.
        num_classes: Number of classes. The number of images of a single class is `largest`.

    Returns:
        The number of images of each class, rounded down.

    Raises:
        UserError: The last class would have no images.

    Reference: Cui et al., Class-Balanced Loss Based on Effective Number of Samples, CVPR 2019 (long-tailed CIFAR).
    """
    last = max(num_classes - 1, 1)
    # The small number keeps a count that is whole, such as 6000 / 100, from being rounded below itself.
    counts = [int(largest * tail_ratio ** (-label / last) + 1e-9) for label in range(num_classes)]
    if not counts[-1]:
        raise UserError(
            f"tail_ratio: expected at most {largest}, the images of the first class, received {tail_ratio:g}"
        )
    return counts


def find_first_of_each_class(
    labels: np.ndarray,
    count: int,
    option: str = "images_per_class",
    *,
    num_classes: int = len(CLASS_NAMES),
    tail_ratio: float = 1.0,
) -> np.ndarray:
    """Return the ascending indices of the first examples of every class.

    Args:
        labels: Integers [n].
        count: Number of examples of each class, or of the first class.
        option: The option that sets `count`, for the message.
        num_classes: Number of classes.
        tail_ratio: See `compute_tail_counts`.

    Returns:
        int64 [examples].

    Raises:
        UserError: A class has fewer examples.
    """
    smallest = int(np.bincount(labels, minlength=num_classes).min())
    if smallest < count:
        raise UserError(f"{option}: expected at most {smallest}, the images of the smallest class, received {count}")
    counts = compute_tail_counts(count, tail_ratio, num_classes)
    chosen = [np.flatnonzero(labels == label)[:number] for label, number in enumerate(counts)]
    return np.sort(np.concatenate(chosen))


def read_idx(path: Path) -> np.ndarray:
    """Read a gzipped IDX file of unsigned bytes.

    Args:
        path: File. Its header is two zero bytes, the type 8 (uint8), the number of dimensions and each dimension.

    Returns:
        uint8 array of the dimensions in the header.

    Raises:
        UserError: The file is damaged, or is not an IDX file of unsigned bytes.
    """
    try:
        content = gzip.decompress(path.read_bytes())
        if content[:3] != b"\x00\x00\x08":
            raise ValueError(f"it starts with {content[:4]!r}")
        rank = content[3]
        shape = np.frombuffer(content, dtype=">i4", count=rank, offset=4)
        return np.frombuffer(content, dtype=np.uint8, offset=4 + 4 * rank).reshape(shape)
    except (OSError, ValueError, EOFError, IndexError, zlib.error) as error:  # gzip.BadGzipFile is an OSError
        raise UserError(f"source: {path} is not a gzipped IDX file of unsigned bytes: {error}") from error
