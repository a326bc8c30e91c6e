"""Estimates of a matrix's largest singular value by power iteration, as TensorFlow operations or compiled by XLA.

Reference: Miyato et al., Spectral Normalization for Generative Adversarial Networks, ICLR 2018, algorithm 1.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

_MAX_ROUNDING = 1e-3
"""Difference from 1 of the squared singular value of a matrix that was divided by it, in TensorFloat-32 at worst."""


def estimate_sigma(w: tf.Tensor, u: tf.Tensor, iterations: int, epsilon: float) -> tuple[tf.Tensor, tf.Tensor]:
    """Estimate the largest singular value of a matrix.

    No gradient flows through the singular vectors u and v: the gradient of sigma is u v^T.

    Args:
        w: float32 [rows, columns].
        u: float32 [rows, 1], initial estimate of the left singular vector.
        iterations: Number of power iterations, at least 1.
        epsilon: Smallest norm that a vector is divided by, above 0.

    Returns:
        sigma, a float32 scalar, and the new u, which is 0 for a matrix of zeros.
    """
    for _ in range(iterations):
        v = _normalize(tf.stop_gradient(tf.matmul(w, u, transpose_a=True)), epsilon)
        wv = tf.matmul(w, v)
        u = _normalize(tf.stop_gradient(wv), epsilon)
    return tf.matmul(u, wv, transpose_a=True)[0, 0], u


def estimate_bounded_sigma(
    w: tf.Tensor, u: tf.Tensor, iterations: int, epsilon: float, minimum: float
) -> tuple[tf.Tensor, tf.Tensor]:
    """Estimate max(sigma, minimum), and the u that the next estimate starts from.

    Args:
        w: float32 [rows, columns].
        u: float32 [rows, 1], initial estimate of the left singular vector.
        iterations: Number of power iterations, at least 1.
        epsilon: Smallest norm that a vector is divided by, above 0.
        minimum: Lower bound of sigma, above 0.

    Returns:
        max(sigma, minimum), a float32 scalar, and the next u, float32 [rows, 1], which has no gradient. For a matrix of
        zeros the next u is the old one, because later iterations could not recover from u = 0.
    """
    sigma, new_u = estimate_sigma(w, u, iterations, epsilon)
    return tf.maximum(sigma, minimum), _replace_unless_zero(u, new_u)


def estimate_bounded_sigma_compiled(
    w: tf.Tensor, u: tf.Tensor, iterations: int, epsilon: float, minimum: float
) -> tuple[tf.Tensor, tf.Tensor]:
    """Compute `estimate_bounded_sigma`, except for rounding, in one XLA operation.

    A GPU takes longer to launch the small operations of a power iteration than to compute them, and an iteration and
    its gradient have 20 of them. The single operation contains no variable and no collective, so it can be used in
    replicas of every strategy. Its gradient is written out because TensorFlow would derive two more compiled functions.

    Args:
        w: float32 [rows, columns].
        u: float32 [rows, 1], initial estimate of the left singular vector.
        iterations: Number of power iterations, at least 1.
        epsilon: Smallest norm that a vector is divided by, above 0.
        minimum: Lower bound of sigma, above 0.

    Returns:
        The same pair as `estimate_bounded_sigma`.
    """
    compiled = _compile_iterations(*w.shape, iterations, epsilon, minimum)

    @tf.custom_gradient
    def bounded(w: tf.Tensor) -> Any:
        sigma, next_u, left, right = compiled(tf.stop_gradient(w), tf.stop_gradient(u))
        return (sigma, next_u), lambda upstream, _: upstream * left * right

    sigma, next_u = bounded(w)
    return sigma, tf.stop_gradient(next_u)


def find_unit_sigma_vector(w: np.ndarray, iterations: int) -> np.ndarray:
    """Find a vector u from which the estimate of sigma is 1.

    It is the left singular vector of the largest singular value s if s is at most 1. Otherwise another singular vector,
    of a value r below 1, is added with the factor that `estimate_sigma` maps to 1: after the last iteration but one u
    is proportional to u_s + c u_r, and |w v| = 1 for c^2 = s^2 (s^2 - 1) / (r^2 (1 - r^2)).

    Args:
        w: Float [rows, columns], such as a kernel that was divided by an estimate of its sigma, which is never above s.
        iterations: Number of power iterations of an estimate, at least 1.

    Returns:
        u, float32 [rows, 1], with norm 1. For a matrix of zeros all its elements are equal, because later iterations
        could not recover from u = 0.

    Raises:
        ValueError: s is above 1, and no singular value lies between 0 and 1.
    """
    w = w.astype(np.float64)
    has_few_rows = w.shape[0] <= w.shape[1]
    squares, vectors = np.linalg.eigh(w @ w.T if has_few_rows else w.T @ w)  # in ascending order
    squares = np.maximum(squares, 0.0)

    def get_left_vector(index: int) -> np.ndarray:
        vector = vectors[:, index] if has_few_rows else w @ vectors[:, index]
        return vector / max(np.linalg.norm(vector), np.finfo(np.float64).tiny)

    largest, u = squares[-1], get_left_vector(-1)
    products = squares * (1.0 - squares)
    index = int(np.argmax(products))  # the vector that needs the smallest factor
    if largest > 1.0 and products[index] > 0.0:
        factor = np.sqrt(largest * (largest - 1.0) / products[index])
        u = u + factor * (largest / squares[index]) ** (iterations - 1) * get_left_vector(index)
    elif largest > 1.0 + _MAX_ROUNDING:
        raise ValueError(f"a matrix with the largest singular value {np.sqrt(largest):g} has none between 0 and 1")
    norm = np.linalg.norm(u)
    u = u / norm if norm > 0.0 else np.full(len(u), len(u) ** -0.5)
    return u.astype(np.float32)[:, np.newaxis]


@functools.cache
def _compile_iterations(
    rows: int, columns: int, iterations: int, epsilon: float, minimum: float
) -> Callable[[tf.Tensor, tf.Tensor], tuple[tf.Tensor, ...]]:
    """Compile the power iteration for matrices of one shape.

    The function is traced outside the current graph, replica and device, so that they can share it.

    Returns:
        A function of w [rows, columns] and u [rows, 1]. It returns the results of `estimate_bounded_sigma` and two
        vectors, [rows, 1] and [1, columns], whose product is the gradient of the bounded sigma.
    """

    def iterate(w: tf.Tensor, u: tf.Tensor) -> tuple[tf.Tensor, ...]:
        left = u
        # XLA fuses sums of products. Matrix products would become calls of a library, which rounds to TensorFloat-32 on
        # some GPUs.
        for _ in range(iterations):
            right = _normalize(tf.reduce_sum(w * left, 0, keepdims=True), epsilon)
            wv = tf.reduce_sum(w * right, 1, keepdims=True)
            left = _normalize(wv, epsilon)
        sigma = tf.reduce_sum(left * wv)
        # The gradient of max(sigma, minimum) is that of sigma if sigma is at least the minimum, and 0 otherwise.
        return tf.maximum(sigma, minimum), _replace_unless_zero(u, left), left, tf.where(sigma >= minimum, right, 0.0)

    with tf.init_scope(), tf.device(None):
        function = tf.function(iterate, jit_compile=True, autograph=False)
        return function.get_concrete_function(tf.TensorSpec([rows, columns]), tf.TensorSpec([rows, 1]))


def _replace_unless_zero(u: tf.Tensor, new_u: tf.Tensor) -> tf.Tensor:
    return tf.where(tf.reduce_any(new_u != 0.0), new_u, u)


def _normalize(vector: tf.Tensor, epsilon: float) -> tf.Tensor:
    return vector / tf.maximum(tf.norm(vector), epsilon)
