"""The original files of Fashion-MNIST, as the Debian package dataset-fashion-mnist installs them."""

from __future__ import annotations

import gzip
import zlib
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
SPLITS = {
    "train": ("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"),
    "test": ("t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"),
}
"""The files of each split: its images and its labels."""


def check_source(source: Path) -> None:
    """Raise UserError if a file is missing in a directory."""
    missing = [name for names in SPLITS.values() for name in names if not (source / name).is_file()]
    if missing:
        names = ", ".join(missing)
        raise UserError(f"--source: expected {names} in {source}; apt-get install dataset-fashion-mnist")


def read_split(source: Path, split: str) -> tuple[np.ndarray, np.ndarray]:
    """Read a split.

    Args:
        source: The directory of the four files.
        split: `train` or `test`.

    Returns:
        Images, uint8 `[n, 28, 28]`, and labels, uint8 `[n]`.

    Raises:
        UserError: A file is damaged, or the two files do not belong together.
    """
    images, labels = (read_idx(source / name) for name in SPLITS[split])
    fits = images.ndim == 3 and labels.shape == images.shape[:1] and (labels < len(CLASS_NAMES)).all()
    if not fits:
        raise UserError(
            f"--source: expected images of one size with a label below {len(CLASS_NAMES)} each in "
            f"{' and '.join(SPLITS[split])} of {source}, received arrays {images.shape} and {labels.shape}"
        )
    return images, labels


def first_of_each_class(labels: np.ndarray, count: int) -> np.ndarray:
    """Return the indices, ascending, of the first `count` examples of every class.

    Args:
        labels: Integers [n].
        count: Examples of each class.

    Returns:
        int64 [classes * count].

    Raises:
        ValueError: A class has fewer examples.
    """
    chosen = [np.flatnonzero(labels == label)[:count] for label in range(len(CLASS_NAMES))]
    least = min(map(len, chosen))
    if least < count:
        raise ValueError(f"expected at most {least}, the images of the smallest class, received {count}")
    return np.sort(np.concatenate(chosen))


def read_idx(path: Path) -> np.ndarray:
    """Read a gzipped IDX file of unsigned bytes.

    Args:
        path: The file. Its header is two zero bytes, the type 8 (uint8), the number of dimensions and each dimension.

    Returns:
        uint8 array of the dimensions that the header gives.

    Raises:
        UserError: The file is damaged, or is no IDX file of unsigned bytes.
    """
    try:
        content = gzip.decompress(path.read_bytes())
        if content[:3] != b"\x00\x00\x08":
            raise ValueError(f"it starts with {content[:4]!r}")
        rank = content[3]
        shape = np.frombuffer(content, dtype=">i4", count=rank, offset=4)
        return np.frombuffer(content, dtype=np.uint8, offset=4 + 4 * rank).reshape(shape)
    except (ValueError, EOFError, IndexError, gzip.BadGzipFile, zlib.error) as error:
        raise UserError(f"--source: expected a gzipped IDX file of unsigned bytes, received {path}: {error}") from error
