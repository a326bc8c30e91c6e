"""The largest singular value of a matrix by power iteration, as TensorFlow operations or compiled by XLA.

Reference: Miyato et al., Spectral Normalization for Generative Adversarial Networks, ICLR 2018, algorithm 1.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import tensorflow as tf


def estimate_sigma(w: tf.Tensor, u: tf.Tensor, iterations: int, epsilon: float) -> tuple[tf.Tensor, tf.Tensor]:
    """Estimate the largest singular value of a matrix.

    No gradient flows through the singular vectors u and v: the gradient of sigma is u v^T.

    Args:
        w: float32 [rows, columns].
        u: float32 [rows, 1], the estimate of the left singular vector to begin with.
        iterations: Power iterations, at least 1.
        epsilon: Smallest norm divided by, above 0.

    Returns:
        sigma, float32 scalar, and the new u, which is 0 for a matrix of zeros.
    """
    for _ in range(iterations):
        v = _unit(tf.stop_gradient(tf.matmul(w, u, transpose_a=True)), epsilon)
        wv = tf.matmul(w, v)
        u = _unit(tf.stop_gradient(wv), epsilon)
    return tf.matmul(u, wv, transpose_a=True)[0, 0], u


def bounded_sigma(
    w: tf.Tensor, u: tf.Tensor, iterations: int, epsilon: float, minimum: float
) -> tuple[tf.Tensor, tf.Tensor]:
    """Estimate max(sigma, minimum), and the u that the next estimate begins with.

    Args:
        w, u, iterations, epsilon: As for `estimate_sigma`.
        minimum: Lower bound, above 0.

    Returns:
        max(sigma, minimum), float32 scalar, and float32 [rows, 1], which no gradient flows through. A matrix of zeros
        gives u = 0, from which no later iteration would come back: the old u is returned then.
    """
    sigma, new_u = estimate_sigma(w, u, iterations, epsilon)
    return tf.maximum(sigma, minimum), _kept_or_new(u, new_u)


def bounded_sigma_compiled(
    w: tf.Tensor, u: tf.Tensor, iterations: int, epsilon: float, minimum: float
) -> tuple[tf.Tensor, tf.Tensor]:
    """Estimate as `bounded_sigma` does, but for rounding, by one operation that XLA compiles.

    A GPU takes longer to launch these small operations than to compute them, and there are 20 of them in an iteration
    with its gradient. The one operation holds no variable and no collective, so it may stand in the replicas of every
    strategy. Its gradient is written out, since TensorFlow would derive two more compiled functions.
    """
    compiled = _compiled_iterations(*w.shape, iterations, epsilon, minimum)

    @tf.custom_gradient
    def bounded(w: tf.Tensor) -> Any:
        sigma, next_u, left, right = compiled(tf.stop_gradient(w), tf.stop_gradient(u))
        return (sigma, next_u), lambda upstream, _: upstream * left * right

    sigma, next_u = bounded(w)
    return sigma, tf.stop_gradient(next_u)


@functools.cache
def _compiled_iterations(
    rows: int, columns: int, iterations: int, epsilon: float, minimum: float
) -> Callable[[tf.Tensor, tf.Tensor], tuple[tf.Tensor, ...]]:
    """Return a compiled function for the matrices of one shape.

    It takes w [rows, columns] and u [rows, 1] and returns what `bounded_sigma` does, and two vectors whose product is
    the gradient: [rows, 1] and [1, columns]. It is traced outside the graph, the replica and the device in which it is
    asked for, so that they can share it.
    """

    def iterate(w: tf.Tensor, u: tf.Tensor) -> tuple[tf.Tensor, ...]:
        left = u
        # Sums of products, which XLA fuses: matrix products would be calls of a library, which rounds to TensorFloat-32
        # on some GPUs.
        for _ in range(iterations):
            right = _unit(tf.reduce_sum(w * left, 0, keepdims=True), epsilon)
            wv = tf.reduce_sum(w * right, 1, keepdims=True)
            left = _unit(wv, epsilon)
        sigma = tf.reduce_sum(left * wv)
        # The gradient of max(sigma, minimum) is that of sigma from the minimum on, and 0 below.
        return tf.maximum(sigma, minimum), _kept_or_new(u, left), left, tf.where(sigma >= minimum, right, 0.0)

    with tf.init_scope(), tf.device(None):
        function = tf.function(iterate, jit_compile=True, autograph=False)
        return function.get_concrete_function(tf.TensorSpec([rows, columns]), tf.TensorSpec([rows, 1]))


def _kept_or_new(u: tf.Tensor, new_u: tf.Tensor) -> tf.Tensor:
    return tf.where(tf.reduce_any(new_u != 0.0), new_u, u)


def _unit(vector: tf.Tensor, epsilon: float) -> tf.Tensor:
    return vector / tf.maximum(tf.norm(vector), epsilon)
