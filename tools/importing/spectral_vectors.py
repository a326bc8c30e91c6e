"""Conversion of a power iteration's vector from the columns of a matrix to its rows."""

from __future__ import annotations

import numpy as np

_NEGLIGIBLE_RATIO = 1e-6
"""Singular values smaller than this times the largest are rounding errors."""


def estimate_sigma_from_columns(matrix: np.ndarray, u: np.ndarray) -> float:
    """Compute the official code's estimate of the largest singular value.

    The estimate is |W^T v| with v = W u / |W u|.

    Args:
        matrix: W [rows, columns].
        u: u, `columns` numbers in any shape.
    """
    v = matrix @ u.reshape(-1)
    return float(np.linalg.norm(matrix.T @ v) / max(np.linalg.norm(v), np.finfo(np.float64).tiny))


def compute_row_vector(matrix: np.ndarray, sigma: float) -> np.ndarray:
    """Compute a vector u from which this project's estimate of sigma is `sigma`.

    The estimate is |W x| with x = W^T u / |W^T u|. For x = cos(a) x_1 + sin(a) x_k, where x_1 and x_k are right
    singular vectors with singular values s_1 (the largest) and s_k, |W x|^2 = cos(a)^2 s_1^2 + sin(a)^2 s_k^2 takes
    every value between s_k^2 and s_1^2. Of the singular values up to sigma, s_k is the one nearest to sigma / 2, so
    that the elements of u do not differ so much in size that float32 would lose some of them. If training continues,
    power iteration removes the component of x_k.

    Args:
        matrix: W [rows, columns].
        sigma: A value between the smallest and the largest singular value of W.

    Returns:
        u, float32 [rows, 1], of length 1.
    """
    matrix = matrix.astype(np.float64)
    left, singular = _compute_left_singular_vectors(matrix)
    first, u = singular[0], left[:, 0]
    if not first:  # Any vector has this estimate.
        u = np.ones(len(matrix))
    below = np.flatnonzero((singular <= sigma) & (singular > _NEGLIGIBLE_RATIO * first))
    if below.size and first > sigma:
        k = below[np.argmin(np.abs(singular[below] - sigma / 2.0))]
        squared_sine = (first**2 - sigma**2) / (first**2 - singular[k] ** 2)
        u = u * np.sqrt(1.0 - squared_sine) / first + left[:, k] * np.sqrt(squared_sine) / singular[k]
    return (u / np.linalg.norm(u)).astype(np.float32)[:, np.newaxis]


def _compute_left_singular_vectors(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Compute left singular vectors, as columns, and singular values, largest first.

    They are computed from the smaller Gram matrix.
    """
    rows, columns = matrix.shape
    squares, vectors = np.linalg.eigh(matrix.T @ matrix if columns < rows else matrix @ matrix.T)
    singular, vectors = np.sqrt(np.maximum(squares[::-1], 0.0)), vectors[:, ::-1]
    if columns < rows:
        vectors = (matrix @ vectors) / np.maximum(singular, np.finfo(np.float64).tiny)
    return vectors, singular
