"""Stable rank of a matrix: the number of directions in which it has a large effect.

Reference: Rudelson & Vershynin, Sampling from large matrices, Journal of the ACM 2007.
"""

from __future__ import annotations

import tensorflow as tf


def compute_stable_rank(matrix: tf.Tensor) -> tf.Tensor:
    """Compute the stable rank ||W||_F^2 / sigma_1^2 of a matrix.

    The stable rank lies between 1 and the rank of the matrix. It does not change when the matrix is scaled, and it
    falls when the largest singular value grows while the other singular values stay the same.

    Args:
        matrix: Floating-point tensor of shape `[rows, columns]`.

    Returns:
        A float32 scalar: 0 for a matrix of zeros, and NaN for a matrix with a non-finite value.

    Examples:
        >>> float(compute_stable_rank(tf.linalg.diag([2.0, 1.0, 1.0])))
        1.5
    """
    matrix = tf.cast(matrix, tf.float32)
    # Scale first, so that squares neither overflow nor underflow.
    matrix = tf.math.divide_no_nan(matrix, tf.reduce_max(tf.abs(matrix)))
    squares = tf.square(tf.linalg.svd(matrix, compute_uv=False))
    return tf.math.divide_no_nan(tf.reduce_sum(squares), tf.reduce_max(squares))
