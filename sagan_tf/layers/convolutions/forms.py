"""Forms of a 3x3 convolution, alone or combined with resampling.

The forms of an operation compute the same result, except for rounding, at different cost. There are three operations:

    up(x, k)    the convolution of x at twice its height and width, where each value is repeated
    down(x, k)  the means of the 2x2 squares of the convolution of x
    none(x, k)  the convolution of x

All take x, float [batch, height, width, inputs] of known height and width, and k [3, 3, inputs, outputs], and pad with
zeros. The table lists multiplications with the kernel per location of the smaller side (per 2x2 square for `none`):

| form        | up, down | none | method                                                                              |
|-------------|----------|------|-------------------------------------------------------------------------------------|
| `plain`     | 36       | 36   | the definition above                                                                |
| `strided`   | 16       |      | one convolution of stride 2 (transposed for `up`) whose 4x4 taps are sums of taps   |
| `subpixel`  | 16       |      | `up` only: four 2x2 convolutions, one for each position in a 2x2 square of results  |
| `minimal_2` | 9        | 16   | see `minimal`                                                                       |
| `minimal_4` | 6.25     | 9    | see `minimal`                                                                       |

A kernel tap is the [inputs, outputs] matrix at one of the 3x3 positions of the kernel.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from sagan_tf.layers.convolutions.kernel_taps import combine_taps, schedule_kernel_transform

# Sums of the taps of a 3-tap kernel that is applied to values which each appear twice.
_NEIGHBOR_SUMS = np.array([[1, 0, 0], [1, 1, 0], [0, 1, 1], [0, 0, 1]])
# The same sums ordered by result: two taps for the first of a pair of results, two for the second.
_PAIR_SUMS = _NEIGHBOR_SUMS[[0, 2, 1, 3]]


def get_strided_sums(resampling: str) -> np.ndarray:
    """Return the sums of taps, [16, 9], of the strided form of `up` or `down`."""
    sums = np.kron(_NEIGHBOR_SUMS, _NEIGHBOR_SUMS)
    # A transposed convolution takes its kernel in reverse order, as [height, width, outputs, inputs].
    return sums[::-1] if resampling == "up" else sums / 4


def get_subpixel_sums() -> np.ndarray:
    """Return the sums of taps, [16, 9], of the form `subpixel` of `up`."""
    return np.kron(_PAIR_SUMS, _PAIR_SUMS)


def upsample_and_convolve(x: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    """Compute `up` by its definition: [b, h, w, i] to [b, 2h, 2w, o]."""
    return convolve(upsample(x), kernel)


def convolve_and_downsample(x: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    """Compute `down` by its definition: [b, h, w, i] to [b, h/2, w/2, o]."""
    return downsample(convolve(x, kernel))


def convolve(x: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    """Compute `none` by its definition: [b, h, w, i] to [b, h, w, o]."""
    return tf.nn.conv2d(x, kernel, 1, "SAME")


def upsample_and_convolve_strided(x: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    """Compute `up` as a transposed convolution of stride 2."""
    _, height, width, _ = x.shape
    sums = get_strided_sums("up")
    with schedule_kernel_transform(kernel, x):
        taps = combine_taps(tf.transpose(kernel, [0, 1, 3, 2]), sums, x)
        kernel = tf.reshape(taps, [4, 4, *taps.shape[1:]])
    return tf.nn.conv2d_transpose(x, kernel, [_get_size(x, 0), 2 * height, 2 * width, kernel.shape[2]], 2, "SAME")


def upsample_and_convolve_subpixel(x: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    """Compute `up` as four 2x2 convolutions.

    This form is slower than a transposed convolution in TensorFlow, but takes a third of its time in TFLite.
    """
    _, height, width, _ = x.shape
    taps = combine_taps(kernel, get_subpixel_sums(), x)
    # Axes: position and tap along the height, position and tap along the width.
    taps = tf.reshape(taps, [2, 2, 2, 2, *taps.shape[1:]])
    padded = tf.pad(x, [[0, 0], [1, 1], [1, 1], [0, 0]])
    positions = [
        tf.nn.conv2d(padded[:, row : row + height + 1, column : column + width + 1], taps[row, :, column], 1, "VALID")
        for row in (0, 1)
        for column in (0, 1)
    ]
    return tf.nn.depth_to_space(tf.concat(positions, axis=-1), 2)


def convolve_and_downsample_strided(x: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    """Compute `down` as a convolution of stride 2."""
    taps = combine_taps(kernel, get_strided_sums("down"), x)
    return tf.nn.conv2d(x, tf.reshape(taps, [4, 4, *taps.shape[1:]]), 2, "SAME")


@tf.custom_gradient
def upsample(features: tf.Tensor) -> Any:
    """Double height and width by repetition: [b, h, w, c] to [b, 2h, 2w, c]."""
    _, height, width, _ = features.shape
    # One copy in place of the two of tf.repeat along each axis. TFLite broadcasts 50 times more slowly.
    doubled = tf.raw_ops.ResizeNearestNeighbor(images=features, size=[2 * height, 2 * width])
    return doubled, lambda upstream: 4.0 * downsample(upstream)


def downsample(features: tf.Tensor) -> tf.Tensor:
    """Average 2x2 squares: [b, h, w, c] to [b, h/2, w/2, c]."""
    return tf.nn.avg_pool2d(features, 2, 2, "VALID")


def _get_size(x: tf.Tensor, axis: int) -> int | tf.Tensor:
    return tf.shape(x)[axis] if x.shape[axis] is None else x.shape[axis]
