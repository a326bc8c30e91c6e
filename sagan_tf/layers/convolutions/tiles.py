"""Feature maps taken apart into small squares, each to linear combinations of its locations, and put together again.

Both ways are linear, and each is the transpose of the other.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np
import tensorflow as tf


class Tiles:
    """Squares that do not overlap.

    Args:
        side: height and width of a square.
        combinations: [combinations, side * side], of a square's locations row by row.
    """

    def __init__(self, side: int, combinations: np.ndarray) -> None:
        self.side = side
        self.combinations = combinations

    def apart(self, x: tf.Tensor) -> tf.Tensor:
        """[b, h, w, c] -> [combinations, b * squares, c], h and w multiples of `side`."""
        tiles = tf.space_to_batch(x, [self.side] * 2, [[0, 0], [0, 0]])
        rows = combined(self.combinations, tf.reshape(tiles, [self.side**2, -1]))
        return tf.reshape(rows, [len(self.combinations), -1, x.shape[3]])

    def together(self, rows: tf.Tensor, height: int, width: int) -> tf.Tensor:
        """Apply the transpose of `apart`: [combinations, b * squares, c] -> [b, height, width, c]."""
        tiles = combined(self.combinations.T, tf.reshape(rows, [rows.shape[0], -1]))
        tiles = tf.reshape(tiles, [-1, height // self.side, width // self.side, rows.shape[2]])
        return tf.batch_to_space(tiles, [self.side] * 2, [[0, 0], [0, 0]])


class Windows:
    """Squares with a margin of one location all round, which overlap; beyond the feature map's edge is 0.

    Args:
        side: height and width of a square without its margin; the squares stand `side` apart.
        combinations: [combinations, (side + 2) ** 2], of a square's locations, margin included, row by row.
    """

    def __init__(self, side: int, combinations: np.ndarray) -> None:
        self.side = side
        self.combinations = combinations

    def apart(self, x: tf.Tensor) -> tf.Tensor:
        """[b, h, w, c] -> [combinations, b * squares, c], h and w multiples of `side`."""
        _, height, width, channels = x.shape
        height, width = height // self.side, width // self.side
        phases = tf.space_to_batch(x, [self.side] * 2, [self._padding] * 2)
        phases = tf.reshape(phases, [self.side] * 2 + [-1, height + self._reach, width + self._reach, channels])
        parts = [
            phases[: part.rows, : part.columns, :, part.down : part.down + height, part.right : part.right + width]
            for part in self._parts
        ]
        locations = tf.concat([tf.reshape(part, [part.shape[0] * part.shape[1], -1]) for part in parts], 0)
        return tf.reshape(combined(self._ordered, locations), [len(self.combinations), -1, channels])

    def together(self, rows: tf.Tensor, height: int, width: int) -> tf.Tensor:
        """Apply the transpose of `apart`: [combinations, b * squares, c] -> [b, height, width, c]."""
        channels = rows.shape[2]
        height, width = height // self.side, width // self.side
        locations = combined(self._ordered.T, tf.reshape(rows, [rows.shape[0], -1]))
        padded = []
        sizes = [part.rows * part.columns for part in self._parts]
        for values, part in zip(tf.split(locations, sizes), self._parts, strict=True):
            place = [[part.down, self._reach - part.down], [part.right, self._reach - part.right]]
            values = tf.pad(tf.reshape(values, [-1, height, width, channels]), [[0, 0], *place, [0, 0]])
            # A step of its own: TensorFlow Lite pads no more than five axes.
            missing = [[0, self.side - part.rows], [0, self.side - part.columns], [0, 0]]
            padded.append(tf.pad(tf.reshape(values, [part.rows, part.columns, -1]), missing))
        phases = tf.reshape(tf.add_n(padded), [-1, height + self._reach, width + self._reach, channels])
        return tf.batch_to_space(phases, [self.side] * 2, [self._padding] * 2)

    # With the margin before it, the feature map is cut into tiles of `side`. A window covers one of them whole and the
    # beginning of the next ones: what it has of one is taken for all windows at once.

    @property
    def _reach(self) -> int:
        """How many tiles further than its first a window goes: (side + 2) / side, rounded up, without the first."""
        return (self.side + 1) // self.side

    @property
    def _padding(self) -> list[int]:
        return [1, self._reach * self.side - 1]

    @functools.cached_property
    def _parts(self) -> list[_Part]:
        sizes = [min(self.side, self.side + 2 - tile * self.side) for tile in range(self._reach + 1)]
        places = np.ndindex(self._reach + 1, self._reach + 1)
        return [_Part(down, right, sizes[down], sizes[right]) for down, right in places]

    @functools.cached_property
    def _ordered(self) -> np.ndarray:
        """The combinations, their columns in the order in which `apart` finds the locations."""
        order = [
            (part.down * self.side + row) * (self.side + 2) + part.right * self.side + column
            for part in self._parts
            for row, column in np.ndindex(part.rows, part.columns)
        ]
        return self.combinations[:, order]


class _Part(NamedTuple):
    """What a window has of the tile that stands so many down and right of its first: the first rows and columns."""

    down: int
    right: int
    rows: int
    columns: int


TRANSFORM = "transform"
"""Name scope of products with constants that stand for additions."""


def combined(combinations: np.ndarray, parts: tf.Tensor) -> tf.Tensor:
    """Linear combinations: [n, parts] and [parts, values] -> [n, values]."""
    with tf.name_scope(TRANSFORM):
        # One product with a constant: adding the parts one by one takes several times as long.
        return tf.matmul(tf.constant(combinations, parts.dtype), parts)
