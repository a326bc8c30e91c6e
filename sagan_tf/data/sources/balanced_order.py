"""The order of a stream of images in which every class is equally frequent."""

from __future__ import annotations

import numpy as np

_POSITIONS_PER_PIECE = 1024
"""About as many positions are computed at a time, so that a stream begins at once, wherever it is entered."""
_CLASS_ORDER, _IMAGE_ORDER = 0, 1
"""Independent random streams of one seed."""


class BalancedOrder:
    """The images at all positions of a stream, computed in pieces of equal length.

    The positions are divided into rounds of one image of every class, in random order. The images of a class come in
    passes: each pass has every image of the class once, in random order, so that the images of a small class return
    sooner. Both orders are functions of the seed and the position alone.

    Args:
        labels: Integers [images]. Every label has at least one image.
        num_classes: Number of labels.
        seed: Seed of the order, at least 0.

    Attributes:
        piece_length: Number of positions in a piece, a multiple of `num_classes`.
    """

    def __init__(self, labels: np.ndarray, num_classes: int, seed: int) -> None:
        ends = np.cumsum(np.bincount(labels, minlength=num_classes))
        self._images = np.split(np.argsort(labels, kind="stable"), ends[:-1])
        self._seed = seed
        self._rounds_per_piece = max(1, _POSITIONS_PER_PIECE // num_classes)
        self._newest_passes: dict[int, tuple[int, np.ndarray]] = {}
        self.piece_length = self._rounds_per_piece * num_classes

    def compute_piece(self, piece: int) -> np.ndarray:
        """Return the indices of the images at the positions of a piece.

        Args:
            piece: Number of the piece, from 0.

        Returns:
            int64 [piece_length].
        """
        rounds: np.ndarray = piece * self._rounds_per_piece + np.arange(self._rounds_per_piece)
        by_class = np.stack([self._select_images(label, rounds) for label in range(len(self._images))], axis=1)
        order = self._draw(by_class.size, _CLASS_ORDER, piece).reshape(by_class.shape).argsort(1, kind="stable")
        return np.take_along_axis(by_class, order, axis=1).ravel()

    def _select_images(self, label: int, rounds: np.ndarray) -> np.ndarray:
        """Return the image of a class in each of some ascending rounds."""
        passes, places = np.divmod(rounds, len(self._images[label]))
        return np.concatenate(
            [self._shuffle_class(label, number)[places[passes == number]] for number in np.unique(passes).tolist()]
        )

    def _shuffle_class(self, label: int, number: int) -> np.ndarray:
        """Return the images of a class in the order of a pass; the newest pass of each class is kept."""
        kept_number, shuffled = self._newest_passes.get(label, (-1, np.zeros(0, np.int64)))
        if kept_number != number:
            images = self._images[label]
            shuffled = images[self._draw(len(images), _IMAGE_ORDER, label, number).argsort(kind="stable")]
            self._newest_passes[label] = number, shuffled
        return shuffled

    def _draw(self, count: int, *key: int) -> np.ndarray:
        """Draw uint64 [count]. NumPy guarantees that these bits are the same in all of its versions."""
        return np.random.Philox(np.random.SeedSequence(self._seed, spawn_key=key)).random_raw(count)
