"""Convolutions with few products: small matrices of constants around matrix products, in the manner of Winograd.

The functions that `convolution_forms` calls `up`, `pooled` and `same`, for wide layers: they save products, of which
there are inputs * outputs for each location, and add sums, of which there are inputs or outputs. In one dimension,
`same` takes a window of m + 2 values to a tile of m results,

    results = R ((T taps) * (W window))

with m + 2 products in place of 3m. R, T and W come of multiplying polynomials by way of their values at m + 1 points
and at infinity (`_winograd`). Before `up`, a window has its values in pairs. With the points 0, 1, -1, a, -a the row of
W that belongs to -1 has coefficients that cancel in pairs, so that its product isn't needed. `pooled` is the transpose
of `up`, and so is its computation. In two dimensions, products for a tile of m by m results at full resolution:

| m | `same`             | `up`, `pooled`                 |
|---|--------------------|--------------------------------|
| 2 | 16 in place of 36  | 9 in place of 36 (strided 16)  |
| 4 | 36 in place of 144 | 25 in place of 144 (strided 64)|

Rounding errors grow with m: in float32 about 1e-6 and 1e-5 of the largest result.

The gradients are written out. They are the same computation transposed; derived automatically, they would keep the
windows, which are several times as large as the features, from the forward to the backward pass.

References: Winograd, Arithmetic Complexity of Computations, SIAM 1980; Lavin & Gray, Fast Algorithms for Convolutional
Neural Networks, CVPR 2016.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

# By the size m of a tile. With 5/8 rounding errors are a little smaller than with 1/2, 3/4 or 2.
_POINTS = {2: (0.0, 1.0, -1.0), 4: (0.0, 1.0, -1.0, 0.625, -0.625)}


@dataclasses.dataclass(frozen=True)
class Tiles:
    """Takes a feature map apart into tiles, and each tile to some linear combinations of its locations.

    Attributes:
        side: height and width of a tile.
        combinations: [combinations, side * side], of the locations of a tile row by row.
    """

    side: int
    combinations: np.ndarray

    def apart(self, x: tf.Tensor) -> tf.Tensor:
        """[b, h, w, c] -> [combinations, b * tiles, c], h and w multiples of `side`."""
        tiles = tf.space_to_batch(x, [self.side] * 2, [[0, 0], [0, 0]])
        return _combined(self.combinations, tf.reshape(tiles, [self.side**2, -1]), x.shape[3])

    def together(self, rows: tf.Tensor, height: int, width: int) -> tf.Tensor:
        """The transpose of `apart`: [combinations, b * tiles, c] -> [b, height, width, c]."""
        channels = rows.shape[2]
        tiles = _combined(self.combinations.T, tf.reshape(rows, [rows.shape[0], -1]), channels)
        tiles = tf.reshape(tiles, [-1, height // self.side, width // self.side, channels])
        return tf.batch_to_space(tiles, [self.side] * 2, [[0, 0], [0, 0]])


@dataclasses.dataclass(frozen=True)
class Windows:
    """The same for windows, which are tiles with a margin of one location all round and so overlap.

    Attributes:
        side: height and width of a tile without the margin; windows stand `side` apart.
        combinations: [combinations, (side + 2) ** 2], of a window's locations row by row; beyond the edge they are 0.
    """

    side: int
    combinations: np.ndarray

    def apart(self, x: tf.Tensor) -> tf.Tensor:
        """[b, h, w, c] -> [combinations, b * tiles, c], h and w multiples of `side`."""
        _, height, width, channels = x.shape
        height, width = height // self.side, width // self.side
        phases = tf.space_to_batch(x, [self.side] * 2, [self._margin] * 2)
        phases = tf.reshape(phases, [self.side] * 2 + [-1, height + self._shifts, width + self._shifts, channels])
        parts = [
            phases[: part.rows, : part.columns, :, part.down : part.down + height, part.right : part.right + width]
            for part in self._parts()
        ]
        locations = tf.concat([tf.reshape(part, [part.shape[0] * part.shape[1], -1]) for part in parts], 0)
        return _combined(self._in_order(), locations, channels)

    def together(self, rows: tf.Tensor, height: int, width: int) -> tf.Tensor:
        """The transpose of `apart`: [combinations, b * tiles, c] -> [b, height, width, c]."""
        channels = rows.shape[2]
        height, width = height // self.side, width // self.side
        locations = _combined(self._in_order().T, tf.reshape(rows, [rows.shape[0], -1]), channels)
        padded = []
        parts = self._parts()
        for values, part in zip(tf.split(locations, [part.rows * part.columns for part in parts]), parts, strict=True):
            values = tf.reshape(values, [part.rows, part.columns, -1, height, width, channels])
            missing = [[0, self.side - part.rows], [0, self.side - part.columns]]
            place = [[part.down, self._shifts - part.down], [part.right, self._shifts - part.right]]
            padded.append(tf.pad(values, [*missing, [0, 0], *place, [0, 0]]))
        phases = tf.reshape(tf.add_n(padded), [-1, height + self._shifts, width + self._shifts, channels])
        return tf.batch_to_space(phases, [self.side] * 2, [self._margin] * 2)

    @property
    def _shifts(self) -> int:
        """How many tiles further than it begins a window ends, the margin counted to the tiles."""
        return (self.side + 1) // self.side

    @property
    def _margin(self) -> list[int]:
        return [1, self._shifts * self.side - 1]

    def _parts(self) -> list[_Part]:
        sizes = [min(self.side, self.side + 2 - shift * self.side) for shift in range(self._shifts + 1)]
        shifts = np.ndindex(self._shifts + 1, self._shifts + 1)
        return [_Part(down, right, sizes[down], sizes[right]) for down, right in shifts]

    def _in_order(self) -> np.ndarray:
        """The combinations, their columns in the order in which `apart` finds the locations."""
        order = [
            (part.down * self.side + row) * (self.side + 2) + part.right * self.side + column
            for part in self._parts()
            for row, column in np.ndindex(part.rows, part.columns)
        ]
        return self.combinations[:, order]


class _Part(NamedTuple):
    """The locations of a window that lie in one tile, so many tiles down and right of where the window begins."""

    down: int
    right: int
    rows: int
    columns: int


@dataclasses.dataclass(frozen=True)
class MinimalConvolution:
    """A 3x3 convolution with a kernel [3, 3, inputs, outputs]: a form, see `convolution_forms`.

    Attributes:
        inputs, outputs: how features are taken apart, and results put together.
        taps: [combinations, 9], what of the kernel's taps is multiplied with the combinations of the features.
        scale: height of the results / height of the features.
    """

    inputs: Tiles | Windows
    outputs: Tiles | Windows
    taps: np.ndarray
    scale: float

    def __call__(self, x: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        _, height, width, _ = x.shape
        sizes = round(height * self.scale), round(width * self.scale)

        # The gradients are of x and the kernel; what was made of the kernel before gets none.
        @tf.custom_gradient
        def convolve(x: tf.Tensor, kernel: tf.Tensor, taps: tf.Tensor) -> tuple[tf.Tensor, Callable[..., Any]]:
            def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, None]:
                collected = self.outputs.apart(upstream)
                taps = combined_taps(kernel, self.taps, upstream)
                of_x = self.inputs.together(tf.matmul(collected, taps, transpose_b=True), height, width)
                of_taps = tf.matmul(self.inputs.apart(_again(x, upstream)), collected, transpose_a=True)
                return of_x, _of_kernel(of_taps, self.taps), None

            return self.outputs.together(tf.matmul(self.inputs.apart(x), taps), *sizes), gradient

        return convolve(x, kernel, combined_taps(kernel, self.taps, x))


def _winograd(points: tuple[float, ...]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """R [m, products], T [products, 3] and W [products, m + 2] of the module's text, for one dimension."""
    count, results = len(points) + 1, len(points) - 1
    of_results, taps, window = np.zeros([results, count]), np.zeros([count, 3]), np.zeros([count, count])
    for index, point in enumerate(points):
        others = [other for other in points if other != point]
        of_results[:, index] = point ** np.arange(results)
        taps[index] = point ** np.arange(3) / np.prod(point - np.array(others))
        window[index, :-1] = np.poly(others)[::-1]
    of_results[-1, -1] = taps[-1, -1] = 1.0  # the point at infinity
    window[-1] = np.poly(points)[::-1]
    return of_results, taps, window


def _twice(matrix: np.ndarray) -> np.ndarray:
    """What a matrix does in one dimension, in two."""
    return np.kron(matrix, matrix)


def _same(tile: int) -> MinimalConvolution:
    results, taps, window = _winograd(_POINTS[tile])
    return MinimalConvolution(Windows(tile, _twice(window)), Tiles(tile, _twice(results.T)), _twice(taps), 1.0)


def _up(tile: int) -> MinimalConvolution:
    results, taps, window = _winograd(_POINTS[tile])
    repeated = np.zeros([tile + 2, tile // 2 + 2])  # a window of features to one of features that appear twice
    repeated[np.arange(tile + 2), (np.arange(tile + 2) + 1) // 2] = 1.0
    window = window @ repeated
    needed = window.any(1)
    inputs = Windows(tile // 2, _twice(window[needed]))
    return MinimalConvolution(inputs, Tiles(tile, _twice(results[:, needed].T)), _twice(taps[needed]), 2.0)


def _pooled(tile: int) -> MinimalConvolution:
    """(the mean of squares is a quarter of repetition transposed, and the convolution that of the turned kernel.)"""
    up = _up(tile)
    return MinimalConvolution(up.outputs, up.inputs, up.taps[:, ::-1] / 4.0, 0.5)


SAME, UP, POOLED = ({f"minimal_{tile}": form(tile) for tile in _POINTS} for form in (_same, _up, _pooled))
"""The three functions, each in a form for every size of tile."""


def combined_taps(kernel: tf.Tensor, combinations: np.ndarray, after: tf.Tensor) -> tf.Tensor:
    """Sums of a kernel's taps, made when `after` is there: [3, 3, i, o] and [n, 9] -> [n, i, o]."""
    with prepared(kernel, after):
        return _combined(combinations, tf.reshape(kernel, [9, -1]), *kernel.shape[2:])


def prepared(kernel: tf.Tensor, after: tf.Tensor) -> contextlib.AbstractContextManager[None]:
    """A context to make something of a kernel in: as a graph is built if it has the kernel's value as a constant.

    Otherwise when `after` is there, or the graph would begin by making it of all kernels and keep it until it is used.
    """
    known = hasattr(kernel, "numpy") and not tf.executing_eagerly()
    return tf.init_scope() if known else tf.control_dependencies([after])


def _of_kernel(of_taps: tf.Tensor, combinations: np.ndarray) -> tf.Tensor:
    """The transpose of `combined_taps`: [n, i, o] -> [3, 3, i, o]."""
    of_kernel = _combined(combinations.T, tf.reshape(of_taps, [len(combinations), -1]), of_taps.shape[2])
    return tf.reshape(of_kernel, [3, 3, *of_taps.shape[1:]])


def _combined(combinations: np.ndarray, parts: tf.Tensor, *sizes: int) -> tf.Tensor:
    """[n, parts] and [parts, values] -> [n, values], the values shaped as [..., *sizes]."""
    # One product with a constant: adding the parts one by one takes several times as long.
    combined = tf.matmul(tf.constant(combinations, parts.dtype), parts)
    return tf.reshape(combined, [len(combinations), -1, *sizes] if len(sizes) == 1 else [-1, *sizes])


def _again(x: tf.Tensor, upstream: tf.Tensor) -> tf.Tensor:
    """x, for what is computed again in the backward pass because keeping it would take several times x's memory."""
    with tf.control_dependencies([upstream]):  # or the graph's optimizer would find it computed already, and keep it
        return tf.identity(x)
