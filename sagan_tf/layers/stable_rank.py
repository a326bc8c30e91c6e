"""Stable rank of a matrix: how many directions it acts through.

Reference: Rudelson and Vershynin, Sampling from large matrices, Journal of the ACM 2007.
"""

from __future__ import annotations

import tensorflow as tf


def stable_rank(matrix: tf.Tensor) -> tf.Tensor:
    """Compute the stable rank ||W||_F^2 / sigma_1^2 of a matrix.

    The stable rank lies between 1 and the rank of the matrix, does not change when the matrix is scaled, and falls
    when the largest singular value grows while the others stay.

    Args:
        matrix: Floating-point tensor of shape `[rows, columns]`.

    Returns:
        float32 scalar. 0 for a matrix of zeros; NaN where the matrix has a value that is not finite.

    Examples:
        >>> float(stable_rank(tf.linalg.diag([2.0, 1.0, 1.0])))
        1.5
    """
    matrix = tf.cast(matrix, tf.float32)
    # Scaled first, so that squares neither overflow nor vanish.
    matrix = tf.math.divide_no_nan(matrix, tf.reduce_max(tf.abs(matrix)))
    squares = tf.square(tf.linalg.svd(matrix, compute_uv=False))
    return tf.math.divide_no_nan(tf.reduce_sum(squares), tf.reduce_max(squares))
