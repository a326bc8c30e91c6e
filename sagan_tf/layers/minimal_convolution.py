"""Convolutions with the fewest products: additions around matrix products, in the manner of Winograd.

The functions that `convolution_forms` calls `up`, `pooled` and `same`, for feature maps that are small against their
width: they save products, of which there are inputs * outputs for each location, and add sums, of which there are
inputs or outputs. In one dimension, with s the sum of the taps k0, k1, k2, `up` gives at 2i and 2i + 1

    k0 x[i-1] + (k1 + k2) x[i]  =  s x[i] - k0 (x[i] - x[i-1])
    (k0 + k1) x[i] + k2 x[i+1]  =  s x[i] + k2 (x[i+1] - x[i])

3 products with the kernel in place of 4 in the strided form and 6 in the plain one; in two dimensions 9, 16 and 36.
`pooled` is the transpose of `up`, and so is its computation. `same` is Winograd's F(2, 3): 4 products for two
neighbouring results in place of 6; in two dimensions 16 in place of 36.

The gradients are written out. They are the transposed transforms; derived automatically, they would take the slices and
sums apart one by one, which takes several times as long.

Reference: Lavin & Gray, Fast Algorithms for Convolutional Neural Networks, CVPR 2016.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

Gradients = Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor, None]]

# Rows make of the 3 taps of a kernel in one dimension what is multiplied with; `np.kron` makes it two.
_SUM_FIRST_LAST = np.array([[1, 1, 1], [1, 0, 0], [0, 0, 1]])
_SUM_LAST_FIRST = np.array([[1, 1, 1], [0, 0, 1], [1, 0, 0]])
_WINOGRAD = np.array([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]])
_FOR_UP = np.kron(_SUM_LAST_FIRST, _SUM_LAST_FIRST)
_FOR_POOLED = np.kron(_SUM_FIRST_LAST, _SUM_FIRST_LAST) / 4
_FOR_SAME = np.kron(_WINOGRAD, _WINOGRAD)


def minimal_up(x: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    """`up` by 9 products for each location of x: [b, h, w, i] -> [b, 2h, 2w, o]."""
    return _up(x, kernel, combined_taps(kernel, _FOR_UP))


def minimal_pooled(x: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    """`pooled` by 9 products for each location of the result: [b, h, w, i] -> [b, h/2, w/2, o], h and w even."""
    return _pooled(x, kernel, combined_taps(kernel, _FOR_POOLED))


def minimal_same(x: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    """`same` by 16 products for each 2x2 square: [b, h, w, i] -> [b, h, w, o], h and w even."""
    return _same(x, kernel, combined_taps(kernel, _FOR_SAME))


# The gradients are of x and the kernel; what was made of the kernel before gets none.


@tf.custom_gradient
def _up(x: tf.Tensor, kernel: tf.Tensor, taps: tf.Tensor) -> tuple[tf.Tensor, Gradients]:
    rows = _rows(x[tf.newaxis])

    def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, None]:
        collected = _rows(tf.stack(_both_axes(_sums_and_differences, upstream)))
        taps = combined_taps(_again(kernel, upstream), _FOR_UP)
        of_x = tf.reduce_sum(tf.matmul(collected, taps, transpose_b=True), 0)
        of_taps = tf.matmul(rows, collected, transpose_a=True)
        return tf.reshape(of_x, tf.shape(x)), _of_kernel(of_taps, _FOR_UP), None

    products = _maps(tf.matmul(rows, taps), x.shape[1], x.shape[2])
    return _both_axes_back(_transposed_sums, products), gradient


@tf.custom_gradient
def _pooled(x: tf.Tensor, kernel: tf.Tensor, taps: tf.Tensor) -> tuple[tf.Tensor, Gradients]:
    _, height, width, inputs = x.shape
    outputs = kernel.shape[3]

    def collected(x: tf.Tensor) -> tf.Tensor:
        return tf.reshape(tf.concat(_both_axes(_sums_and_differences, x), -1), [-1, 9 * inputs])

    def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, None]:
        rows = tf.reshape(upstream, [-1, outputs])
        of_taps = tf.matmul(collected(_again(x, upstream)), rows, transpose_a=True)
        taps = combined_taps(_again(kernel, upstream), _FOR_POOLED)
        of_collected = _maps(tf.matmul(rows[tf.newaxis], taps, transpose_b=True), height // 2, width // 2)
        of_x = _both_axes_back(_transposed_sums, of_collected)
        return of_x, _of_kernel(tf.reshape(of_taps, [9, inputs, outputs]), _FOR_POOLED), None

    products = tf.matmul(collected(x), tf.reshape(taps, [9 * inputs, outputs]))
    return tf.reshape(products, [-1, height // 2, width // 2, outputs]), gradient


@tf.custom_gradient
def _same(x: tf.Tensor, kernel: tf.Tensor, taps: tf.Tensor) -> tuple[tf.Tensor, Gradients]:
    _, height, width, _ = x.shape

    def tiles(x: tf.Tensor) -> tf.Tensor:
        return _rows(tf.stack(_both_axes(_tiles, x)))

    def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, None]:
        collected = _rows(tf.stack(_both_axes(_transposed_results, upstream)))
        taps = combined_taps(_again(kernel, upstream), _FOR_SAME)
        of_tiles = _maps(tf.matmul(collected, taps, transpose_b=True), height // 2, width // 2)
        of_taps = tf.matmul(tiles(_again(x, upstream)), collected, transpose_a=True)
        return _both_axes_back(_transposed_tiles, of_tiles), _of_kernel(of_taps, _FOR_SAME), None

    products = _maps(tf.matmul(tiles(x), taps), height // 2, width // 2)
    return _both_axes_back(_results, products), gradient


def combined_taps(kernel: tf.Tensor, combinations: np.ndarray) -> tf.Tensor:
    """Sums of a kernel's taps: [3, 3, i, o] and [n, 9] -> [n, i, o]."""
    with computed_once(kernel):
        # One product with a constant: shifting and adding by slices takes several times as long.
        taps = tf.matmul(tf.constant(combinations, kernel.dtype), tf.reshape(kernel, [9, -1]))
        return tf.reshape(taps, [-1, *kernel.shape[2:]])


def computed_once(kernel: tf.Tensor) -> contextlib.AbstractContextManager[None]:
    """A context in which what is made of a kernel whose value a graph has as a constant is computed as it is built."""
    known = hasattr(kernel, "numpy") and not tf.executing_eagerly()
    return tf.init_scope() if known else contextlib.nullcontext()


def _of_kernel(of_taps: tf.Tensor, combinations: np.ndarray) -> tf.Tensor:
    """The transpose of `combined_taps`: [n, i, o] -> [3, 3, i, o]."""
    flat = tf.reshape(of_taps, [len(combinations), -1])
    of_kernel = tf.matmul(tf.constant(combinations, of_taps.dtype), flat, transpose_a=True)
    return tf.reshape(of_kernel, [3, 3, *of_taps.shape[1:]])


def _again(x: tf.Tensor, upstream: tf.Tensor) -> tf.Tensor:
    """x, for what is computed again in the backward pass because keeping it would take several times x's memory."""
    with tf.control_dependencies([upstream]):  # or the graph's optimizer would find it computed already, and keep it
        return tf.identity(x)


def _rows(x: tf.Tensor) -> tf.Tensor:
    """[n, b, h, w, c] -> [n, b * h * w, c]."""
    return tf.reshape(x, [x.shape[0], -1, x.shape[4]])


def _maps(rows: tf.Tensor, height: int, width: int) -> list[tf.Tensor]:
    """[n, b * h * w, c] -> n times [b, h, w, c]."""
    return tf.unstack(tf.reshape(rows, [rows.shape[0], -1, height, width, rows.shape[2]]))


def _both_axes(split: Callable[..., tuple[tf.Tensor, ...]], x: tf.Tensor) -> list[tf.Tensor]:
    """Applies a transform that makes n arrays of one to the height, and to the width of each: n * n arrays."""
    return [part for rows in split(x, axis=1) for part in split(rows, axis=2)]


def _both_axes_back(join: Callable[..., tf.Tensor], parts: Sequence[tf.Tensor]) -> tf.Tensor:
    """Applies a transform that makes one array of n to n * n arrays in the order of `_both_axes`."""
    count = round(len(parts) ** 0.5)
    rows = [join(*parts[first : first + count], axis=2) for first in range(0, len(parts), count)]
    return join(*rows, axis=1)


def _sums_and_differences(x: tf.Tensor, axis: int) -> tuple[tf.Tensor, ...]:
    """What `pooled` multiplies, for each pair i: x[2i] + x[2i+1], x[2i-1] - x[2i+1], x[2i+2] - x[2i]."""
    even, odd = _pairs(x, axis)
    return even + odd, _later(odd, axis) - odd, _earlier(even, axis) - even


def _transposed_sums(total: tf.Tensor, left: tf.Tensor, right: tf.Tensor, axis: int) -> tf.Tensor:
    """The transpose of `_sums_and_differences`: what becomes of the products of `up`."""
    return _interleaved(total - right + _later(right, axis), total - left + _earlier(left, axis), axis)


def _tiles(x: tf.Tensor, axis: int) -> tuple[tf.Tensor, ...]:
    """What `same` multiplies, for each pair i of results."""
    even, odd = _pairs(x, axis)
    return _later(odd, axis) - odd, even + odd, odd - even, even - _earlier(even, axis)


def _transposed_tiles(first: tf.Tensor, plus: tf.Tensor, minus: tf.Tensor, last: tf.Tensor, axis: int) -> tf.Tensor:
    even = plus - minus + last - _later(last, axis)
    odd = plus + minus - first + _earlier(first, axis)
    return _interleaved(even, odd, axis)


def _results(first: tf.Tensor, plus: tf.Tensor, minus: tf.Tensor, last: tf.Tensor, axis: int) -> tf.Tensor:
    """What becomes of the products of `same`."""
    return _interleaved(first + plus + minus, plus - minus - last, axis)


def _transposed_results(x: tf.Tensor, axis: int) -> tuple[tf.Tensor, ...]:
    even, odd = _pairs(x, axis)
    return even, even + odd, even - odd, -odd


def _pairs(x: tf.Tensor, axis: int) -> list[tf.Tensor]:
    """The values at even places along an axis, and those at odd places."""
    shape = [-1, *x.shape[1:]]
    return tf.unstack(tf.reshape(x, [*shape[:axis], shape[axis] // 2, 2, *shape[axis + 1 :]]), axis=axis + 1)


def _interleaved(even: tf.Tensor, odd: tf.Tensor, axis: int) -> tf.Tensor:
    """The inverse of `_pairs`."""
    shape = [-1, *even.shape[1:]]
    return tf.reshape(tf.stack([even, odd], axis + 1), [*shape[:axis], 2 * shape[axis], *shape[axis + 1 :]])


def _later(x: tf.Tensor, axis: int) -> tf.Tensor:
    """x moved one place up along an axis, a zero coming in."""
    return _padded(x[(slice(None),) * axis + (slice(0, -1),)], axis, [1, 0])


def _earlier(x: tf.Tensor, axis: int) -> tf.Tensor:
    """x moved one place down along an axis, a zero coming in."""
    return _padded(x[(slice(None),) * axis + (slice(1, None),)], axis, [0, 1])


def _padded(x: tf.Tensor, axis: int, padding: list[int]) -> tf.Tensor:
    return tf.pad(x, [padding if one == axis else [0, 0] for one in range(x.shape.rank)])
