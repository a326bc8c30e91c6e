"""Layouts that split a feature map into small squares, and merge squares into a feature map.

A layout splits each square into linear combinations of its locations. Both directions are linear, and each is the
transpose of the other.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np
import tensorflow as tf


class Tiles:
    """Squares that do not overlap.

    Args:
        side: Height and width of a square.
        combinations: [combinations, side * side], coefficients of a square's locations in row-major order.
    """

    def __init__(self, side: int, combinations: np.ndarray) -> None:
        self.side = side
        self.combinations = combinations

    def split(self, x: tf.Tensor) -> tf.Tensor:
        """Split [b, h, w, c] into [combinations, b * squares, c].

        The height and width must be multiples of `side`.
        """
        tiles = tf.space_to_batch(x, [self.side] * 2, [[0, 0], [0, 0]])
        rows = combine(self.combinations, tf.reshape(tiles, [self.side**2, -1]))
        return tf.reshape(rows, [len(self.combinations), -1, x.shape[3]])

    def merge(self, rows: tf.Tensor, height: int, width: int) -> tf.Tensor:
        """Merge [combinations, b * squares, c] into [b, height, width, c].

        This is the transpose of `split`.
        """
        tiles = combine(self.combinations.T, tf.reshape(rows, [rows.shape[0], -1]))
        tiles = tf.reshape(tiles, [-1, height // self.side, width // self.side, rows.shape[2]])
        return tf.batch_to_space(tiles, [self.side] * 2, [[0, 0], [0, 0]])


class Windows:
    """Overlapping squares with a margin of one location on every side; the feature map is padded with zeros.

    Args:
        side: Height and width of a square without its margin, which is also the distance between squares.
        combinations: [combinations, (side + 2) ** 2], coefficients of a square's locations, margin included, in
            row-major order.
    """

    def __init__(self, side: int, combinations: np.ndarray) -> None:
        self.side = side
        self.combinations = combinations

    def split(self, x: tf.Tensor) -> tf.Tensor:
        """Split [b, h, w, c] into [combinations, b * squares, c].

        The height and width must be multiples of `side`.
        """
        _, height, width, channels = x.shape
        height, width = height // self.side, width // self.side
        phases = tf.space_to_batch(x, [self.side] * 2, [self._padding] * 2)
        phases = tf.reshape(phases, [self.side] * 2 + [-1, height + self._reach, width + self._reach, channels])
        parts = [
            phases[: part.rows, : part.columns, :, part.down : part.down + height, part.right : part.right + width]
            for part in self._parts
        ]
        locations = tf.concat([tf.reshape(part, [part.shape[0] * part.shape[1], -1]) for part in parts], 0)
        return tf.reshape(combine(self._ordered_combinations, locations), [len(self.combinations), -1, channels])

    def merge(self, rows: tf.Tensor, height: int, width: int) -> tf.Tensor:
        """Merge [combinations, b * squares, c] into [b, height, width, c].

        This is the transpose of `split`.
        """
        channels = rows.shape[2]
        height, width = height // self.side, width // self.side
        locations = combine(self._ordered_combinations.T, tf.reshape(rows, [rows.shape[0], -1]))
        padded = []
        sizes = [part.rows * part.columns for part in self._parts]
        for values, part in zip(tf.split(locations, sizes), self._parts, strict=True):
            place = [[part.down, self._reach - part.down], [part.right, self._reach - part.right]]
            values = tf.pad(tf.reshape(values, [-1, height, width, channels]), [[0, 0], *place, [0, 0]])
            # A second padding operation, because TensorFlow Lite pads at most five axes.
            missing = [[0, self.side - part.rows], [0, self.side - part.columns], [0, 0]]
            padded.append(tf.pad(tf.reshape(values, [part.rows, part.columns, -1]), missing))
        phases = tf.reshape(tf.add_n(padded), [-1, height + self._reach, width + self._reach, channels])
        return tf.batch_to_space(phases, [self.side] * 2, [self._padding] * 2)

    # The feature map with its leading margin is cut into tiles of `side`. A window covers one whole tile and the first
    # rows and columns of the next tiles. The part in each of these tiles is read for all windows at once.

    @property
    def _reach(self) -> int:
        """Number of further tiles that a window spans: ceil((side + 2) / side) - 1."""
        return (self.side + 1) // self.side

    @property
    def _padding(self) -> list[int]:
        return [1, self._reach * self.side - 1]

    @functools.cached_property
    def _parts(self) -> list[_WindowPart]:
        sizes = [min(self.side, self.side + 2 - tile * self.side) for tile in range(self._reach + 1)]
        places = np.ndindex(self._reach + 1, self._reach + 1)
        return [_WindowPart(down, right, sizes[down], sizes[right]) for down, right in places]

    @functools.cached_property
    def _ordered_combinations(self) -> np.ndarray:
        """Combinations with columns in the order in which `split` reads the locations."""
        order = [
            (part.down * self.side + row) * (self.side + 2) + part.right * self.side + column
            for part in self._parts
            for row, column in np.ndindex(part.rows, part.columns)
        ]
        return self.combinations[:, order]


class _WindowPart(NamedTuple):
    """The part of a window in one tile: the first rows and columns of that tile.

    Attributes:
        down: Number of tiles between the window's first tile and this tile, along the height.
        right: Number of tiles between the window's first tile and this tile, along the width.
        rows: Number of rows of the part.
        columns: Number of columns of the part.
    """

    down: int
    right: int
    rows: int
    columns: int


TRANSFORM_SCOPE = "transform"
"""Name scope of products with constants that replace additions."""


def combine(combinations: np.ndarray, parts: tf.Tensor) -> tf.Tensor:
    """Compute linear combinations: [n, parts] and [parts, values] to [n, values]."""
    with tf.name_scope(TRANSFORM_SCOPE):
        # One product with a constant; adding the parts one by one takes several times as long.
        return tf.matmul(tf.constant(combinations, parts.dtype), parts)
