"""Convolutions with few multiplications: small constant matrices around matrix products, as Winograd proposed.

This module has the operations that `forms` calls `up`, `down` and `none`, for wide layers. It saves multiplications, of
which there are inputs * outputs per location, and adds additions, of which there are inputs or outputs. In one
dimension, `none` maps a window of m + 2 values to a tile of m results:

    results = R ((T taps) * (W window))

with m + 2 products in place of 3m. This is the transpose of multiplying two polynomials, with m and with 3
coefficients, through their values at m + 1 points and at infinity: R transposed and T evaluate, W transposed
interpolates.

Before `up`, a window of m + 2 values has m/2 + 2 different values, the inner ones twice. With the points 0, 1, -1, a
and -a, the row of W for the point -1 has coefficients that cancel in these pairs, so its product is not needed. `down`
is a quarter of the transpose of `up`, with the kernel rotated by 180 degrees. In two dimensions, the products for a
tile of m by m results at full resolution are:

| m | `none`              | `up`, `down`                    |
|---|---------------------|---------------------------------|
| 2 | 16 in place of 36   | 9 in place of 36 (strided 16)   |
| 4 | 36 in place of 144  | 25 in place of 144 (strided 64) |

In float32 and with 256 channels, the errors are within 1e-6 for m = 2 (as for the plain form) and 1e-5 for m = 4 of the
largest result; they grow with the number of channels. In bfloat16 the root mean squared error is 2 to 3 times that of
the plain form for m = 2, and 20 times for m = 4.

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

from sagan_tf.layers.convolutions.kernel_taps import combine_taps, compute_kernel_gradient
from sagan_tf.layers.convolutions.tiles import Tiles, Windows

# Points by tile size m. With 5/8, rounding errors are slightly smaller than with 1/2, 3/4 or 2.
_POINTS = {2: (0.0, 1.0, -1.0), 4: (0.0, 1.0, -1.0, 0.625, -0.625)}


class MinimalConvolution:
    """A form of a 3x3 convolution: a function of features and a kernel [3, 3, inputs, outputs].

    Args:
        inputs: Layout that splits the features.
        outputs: Layout that merges the results.
        tap_combinations: [combinations, 9], linear combinations of the kernel's taps, one for each combination of
            features.
    """

    def __init__(self, inputs: Tiles | Windows, outputs: Tiles | Windows, tap_combinations: np.ndarray) -> None:
        self.inputs = inputs
        self.outputs = outputs
        self.tap_combinations = tap_combinations

    def __call__(self, x: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        """Compute the operation.

        Args:
            x: Float [batch, height, width, inputs]; height and width are multiples of `inputs.side`.
            kernel: [3, 3, inputs, outputs] of the dtype of `x`.
        """
        _, height, width, _ = x.shape
        sizes = [size // self.inputs.side * self.outputs.side for size in (height, width)]

        # The gradients are those of x and the kernel; the precomputed taps get none.
        @tf.custom_gradient
        def convolve(x: tf.Tensor, kernel: tf.Tensor, forward_taps: tf.Tensor) -> tuple[tf.Tensor, Callable[..., Any]]:
            def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, None]:
                collected = self.outputs.split(upstream)
                # Compute the taps again. If kept, they would be up to four times as large as all kernels together.
                taps = combine_taps(kernel, self.tap_combinations, upstream)
                x_gradient = self.inputs.merge(tf.matmul(collected, taps, transpose_b=True), height, width)
                parts = self.inputs.split(_recompute_after(x, upstream))
                tap_gradients = tf.matmul(parts, collected, transpose_a=True)
                return x_gradient, compute_kernel_gradient(tap_gradients, self.tap_combinations), None

            return self.outputs.merge(tf.matmul(self.inputs.split(x), forward_taps), *sizes), gradient

        return convolve(x, kernel, combine_taps(kernel, self.tap_combinations, x))


def _create_winograd_matrices(points: tuple[float, ...]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the matrices R, T and W of the module docstring.

    Their shapes are [m, products], [products, 3] and [products, m + 2].
    """
    count, num_results = len(points) + 1, len(points) - 1
    results, taps, window = np.zeros([num_results, count]), np.zeros([count, 3]), np.zeros([count, count])
    for index, point in enumerate(points):
        other_points = [other for other in points if other != point]
        results[:, index] = point ** np.arange(num_results)
        taps[index] = point ** np.arange(3) / np.prod(point - np.array(other_points))
        window[index, :-1] = np.poly(other_points)[::-1]
    results[-1, -1] = taps[-1, -1] = 1.0  # the point at infinity
    window[-1] = np.poly(points)[::-1]
    return results, taps, window


def _extend_to_two_dimensions(matrix: np.ndarray) -> np.ndarray:
    """Return the matrix that applies a one-dimensional matrix along both axes."""
    return np.kron(matrix, matrix)


def _create_same_size_form(tile: int) -> MinimalConvolution:
    results, taps, window = _create_winograd_matrices(_POINTS[tile])
    inputs = Windows(tile, _extend_to_two_dimensions(window))
    outputs = Tiles(tile, _extend_to_two_dimensions(results.T))
    return MinimalConvolution(inputs, outputs, _extend_to_two_dimensions(taps))


def _create_upsampling_form(tile: int) -> MinimalConvolution:
    results, taps, window = _create_winograd_matrices(_POINTS[tile])
    # Maps a window of features to a window of features that appear twice.
    repeated = np.zeros([tile + 2, tile // 2 + 2])
    repeated[np.arange(tile + 2), (np.arange(tile + 2) + 1) // 2] = 1.0
    needed = [index for index in range(len(window)) if index != _POINTS[tile].index(-1.0)]
    inputs = Windows(tile // 2, _extend_to_two_dimensions((window @ repeated)[needed]))
    outputs = Tiles(tile, _extend_to_two_dimensions(results[:, needed].T))
    return MinimalConvolution(inputs, outputs, _extend_to_two_dimensions(taps[needed]))


def _create_downsampling_form(tile: int) -> MinimalConvolution:
    upsampling = _create_upsampling_form(tile)
    return MinimalConvolution(upsampling.outputs, upsampling.inputs, upsampling.tap_combinations[:, ::-1] / 4.0)


SAME_SIZE_FORMS, UPSAMPLING_FORMS, DOWNSAMPLING_FORMS = (
    {f"minimal_{tile}": create(tile) for tile in _POINTS}
    for create in (_create_same_size_form, _create_upsampling_form, _create_downsampling_form)
)
"""Forms of `none`, `up` and `down` by name, one for each tile size."""


def _recompute_after(x: tf.Tensor, upstream: tf.Tensor) -> tf.Tensor:
    """Return x for functions of x that are computed again in the backward pass.

    Keeping their results from the forward pass would take several times the memory of x.
    """
    # Without this dependency the graph optimizer would reuse and keep the results of the forward pass.
    with tf.control_dependencies([upstream]):
        return tf.identity(x)
