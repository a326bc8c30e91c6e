"""Convolutions with few products: small matrices of constants around matrix products, in the manner of Winograd.

The functions that `convolution_forms` calls `up`, `pooled` and `same`, for wide layers: they save products, of which
there are inputs * outputs for each location, and add sums, of which there are inputs or outputs. In one dimension,
`same` takes a window of m + 2 values to a tile of m results,

    results = R ((T taps) * (W window))

with m + 2 products in place of 3m. It is the transpose of multiplying two polynomials, of m coefficients and of 3, by
way of their values at m + 1 points and at infinity: R transposed and T evaluate, W transposed interpolates.

Before `up`, a window of m + 2 values has m/2 + 2 different ones, the inner ones twice. With the points 0, 1, -1, a, -a
the row of W that belongs to -1 has coefficients that cancel in these pairs, so its product isn't needed. `pooled` is a
quarter of `up` transposed, with the kernel turned by 180 degrees. In two dimensions, products for a tile of m by m
results at full resolution:

| m | `same`             | `up`, `pooled`                 |
|---|--------------------|--------------------------------|
| 2 | 16 in place of 36  | 9 in place of 36 (strided 16)  |
| 4 | 36 in place of 144 | 25 in place of 144 (strided 64)|

In float32 and with 256 channels, errors are within 1e-6 (as the plain form's) and 1e-5 of the largest result; they grow
with the number of channels. In bfloat16 the root of the mean squared error is 2 to 3 times the plain form's for m = 2,
and 20 times for m = 4.

The gradients are written out. They are the same computation transposed; derived automatically, they would keep the
windows, which are several times as large as the features, from the forward to the backward pass.

References: Winograd, Arithmetic Complexity of Computations, SIAM 1980; Lavin & Gray, Fast Algorithms for Convolutional
Neural Networks, CVPR 2016.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from sagan_tf.layers.convolutions.kernel_taps import combined_taps, gradient_of_kernel
from sagan_tf.layers.convolutions.tiles import Tiles, Windows

# By the size m of a tile. With 5/8 rounding errors are a little smaller than with 1/2, 3/4 or 2.
_POINTS = {2: (0.0, 1.0, -1.0), 4: (0.0, 1.0, -1.0, 0.625, -0.625)}


class MinimalConvolution:
    """A form of a 3x3 convolution: a function of features and a kernel [3, 3, inputs, outputs].

    Args:
        inputs: how features are taken apart.
        outputs: how results are put together.
        tap_combinations: [combinations, 9], what of the kernel's taps is multiplied with each combination of features.
    """

    def __init__(self, inputs: Tiles | Windows, outputs: Tiles | Windows, tap_combinations: np.ndarray) -> None:
        self.inputs = inputs
        self.outputs = outputs
        self.tap_combinations = tap_combinations

    def __call__(self, x: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        _, height, width, _ = x.shape
        sizes = [size // self.inputs.side * self.outputs.side for size in (height, width)]

        # The gradients are of x and the kernel; what was made of the kernel before gets none.
        @tf.custom_gradient
        def convolve(x: tf.Tensor, kernel: tf.Tensor, forward_taps: tf.Tensor) -> tuple[tf.Tensor, Callable[..., Any]]:
            def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, None]:
                collected = self.outputs.apart(upstream)
                # Made again, of the kernel: kept, they would be up to four times as large as all kernels together.
                taps = combined_taps(kernel, self.tap_combinations, upstream)
                of_x = self.inputs.together(tf.matmul(collected, taps, transpose_b=True), height, width)
                of_taps = tf.matmul(self.inputs.apart(_again(x, upstream)), collected, transpose_a=True)
                return of_x, gradient_of_kernel(of_taps, self.tap_combinations), None

            return self.outputs.together(tf.matmul(self.inputs.apart(x), forward_taps), *sizes), gradient

        return convolve(x, kernel, combined_taps(kernel, self.tap_combinations, x))


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
    """Return the matrix that does in two dimensions what a matrix does in one."""
    return np.kron(matrix, matrix)


def _same(tile: int) -> MinimalConvolution:
    results, taps, window = _winograd(_POINTS[tile])
    return MinimalConvolution(Windows(tile, _twice(window)), Tiles(tile, _twice(results.T)), _twice(taps))


def _up(tile: int) -> MinimalConvolution:
    results, taps, window = _winograd(_POINTS[tile])
    repeated = np.zeros([tile + 2, tile // 2 + 2])  # a window of features to one of features that appear twice
    repeated[np.arange(tile + 2), (np.arange(tile + 2) + 1) // 2] = 1.0
    needed = [index for index in range(len(window)) if index != _POINTS[tile].index(-1.0)]
    inputs = Windows(tile // 2, _twice((window @ repeated)[needed]))
    return MinimalConvolution(inputs, Tiles(tile, _twice(results[:, needed].T)), _twice(taps[needed]))


def _pooled(tile: int) -> MinimalConvolution:
    up = _up(tile)
    return MinimalConvolution(up.outputs, up.inputs, up.tap_combinations[:, ::-1] / 4.0)


SAME, UP, POOLED = ({f"minimal_{tile}": form(tile) for tile in _POINTS} for form in (_same, _up, _pooled))
"""The three functions, each in a form for every size of tile."""


def _again(x: tf.Tensor, upstream: tf.Tensor) -> tf.Tensor:
    """x, for what is computed again in the backward pass because keeping it would take several times x's memory."""
    with tf.control_dependencies([upstream]):  # or the graph's optimizer would find it computed already, and keep it
        return tf.identity(x)
