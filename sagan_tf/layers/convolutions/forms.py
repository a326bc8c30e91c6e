"""Ways to compute a 3x3 convolution, alone or next to a resampling: same result but for rounding, different cost.

    up(x, k)     the convolution of x at twice its height and width, each value repeated
    pooled(x, k) means of the 2x2 squares of the convolution of x
    same(x, k)   the convolution of x

All take x float [batch, height, width, inputs] of known height and width, and k [3, 3, inputs, outputs], and pad with
zeros. Products with the kernel for each location of the smaller side (of each 2x2 square, for `same`):

| form        | up, pooled | same | how                                                                               |
|-------------|------------|------|-----------------------------------------------------------------------------------|
| `plain`     | 36         | 36   | as written above                                                                  |
| `strided`   | 16         |      | one convolution of stride 2 (transposed for `up`), whose 4x4 taps are sums of k's |
| `subpixel`  | 16         |      | `up` only: four 2x2 convolutions, one for each place in a 2x2 square of results   |
| `minimal_2` | 9          | 16   | see `minimal_convolution`                                                         |
| `minimal_4` | 6.25       | 9    | see `minimal_convolution`                                                         |
"""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from sagan_tf.layers.convolutions.kernel_taps import combined_taps, prepared

# What the taps of a 3-tap kernel add up to when it is applied to values that each appear twice.
_SUMS_OF_NEIGHBOURS = np.array([[1, 0, 0], [1, 1, 0], [0, 1, 1], [0, 0, 1]])
# The same by result: two taps for the first of a pair of results, two for the second.
_SUMS_OF_PAIRS = _SUMS_OF_NEIGHBOURS[[0, 2, 1, 3]]


def plain_up(x: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    """`up`, as its definition says: [b, h, w, i] -> [b, 2h, 2w, o]."""
    return plain_same(upsample(x), kernel)


def plain_pooled(x: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    """`pooled`, as its definition says: [b, h, w, i] -> [b, h/2, w/2, o]."""
    return downsample(plain_same(x, kernel))


def plain_same(x: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    """`same`, as its definition says: [b, h, w, i] -> [b, h, w, o]."""
    return tf.nn.conv2d(x, kernel, 1, "SAME")


def strided_up(x: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    """`up` as a transposed convolution of stride 2."""
    _, height, width, _ = x.shape
    # A transposed convolution has its kernel back to front, and as [height, width, outputs, inputs].
    sums = np.kron(_SUMS_OF_NEIGHBOURS, _SUMS_OF_NEIGHBOURS)[::-1]
    with prepared(kernel, x):
        taps = combined_taps(tf.transpose(kernel, [0, 1, 3, 2]), sums, x)
        kernel = tf.reshape(taps, [4, 4, *taps.shape[1:]])
    return tf.nn.conv2d_transpose(x, kernel, [_size(x, 0), 2 * height, 2 * width, kernel.shape[2]], 2, "SAME")


def subpixel_up(x: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    """`up` as four 2x2 convolutions: slower than a transposed one in TensorFlow, a third of its time in TFLite."""
    _, height, width, _ = x.shape
    taps = combined_taps(kernel, np.kron(_SUMS_OF_PAIRS, _SUMS_OF_PAIRS), x)
    taps = tf.reshape(taps, [2, 2, 2, 2, *taps.shape[1:]])  # place and tap along the height, along the width
    padded = tf.pad(x, [[0, 0], [1, 1], [1, 1], [0, 0]])
    places = [
        tf.nn.conv2d(padded[:, row : row + height + 1, column : column + width + 1], taps[row, :, column], 1, "VALID")
        for row in (0, 1)
        for column in (0, 1)
    ]
    return tf.nn.depth_to_space(tf.concat(places, axis=-1), 2)


def strided_pooled(x: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    """`pooled` as a convolution of stride 2."""
    taps = combined_taps(kernel, np.kron(_SUMS_OF_NEIGHBOURS, _SUMS_OF_NEIGHBOURS) / 4, x)
    return tf.nn.conv2d(x, tf.reshape(taps, [4, 4, *taps.shape[1:]]), 2, "SAME")


@tf.custom_gradient
def upsample(features: tf.Tensor) -> Any:
    """Doubles height and width, each value repeated: [b, h, w, c] -> [b, 2h, 2w, c]."""
    _, height, width, _ = features.shape
    # One copy in place of the two of tf.repeat along each axis; TFLite broadcasts 50 times as slowly.
    doubled = tf.raw_ops.ResizeNearestNeighbor(images=features, size=[2 * height, 2 * width])
    return doubled, lambda upstream: 4.0 * downsample(upstream)


def downsample(features: tf.Tensor) -> tf.Tensor:
    """Means of 2x2 squares: [b, h, w, c] -> [b, h/2, w/2, c]."""
    return tf.nn.avg_pool2d(features, 2, 2, "VALID")


def _size(x: tf.Tensor, axis: int) -> int | tf.Tensor:
    return tf.shape(x)[axis] if x.shape[axis] is None else x.shape[axis]
