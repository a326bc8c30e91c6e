"""The vector of a power iteration from one side of a matrix, brought to the other side."""

from __future__ import annotations

import numpy as np

_NEGLIGIBLE = 1e-6
"""A singular value this small beside the largest is rounding."""


def sigma_from_columns(matrix: np.ndarray, u: np.ndarray) -> float:
    """Return the official code's estimate of the largest singular value: |W^T v| with v = unit(W u).

    Args:
        matrix: W [rows, columns].
        u: any shape of `columns` numbers.
    """
    v = matrix @ u.reshape(-1)
    return float(np.linalg.norm(matrix.T @ v) / max(np.linalg.norm(v), np.finfo(np.float64).tiny))


def u_of_rows(matrix: np.ndarray, sigma: float) -> np.ndarray:
    """Return a vector from which our estimate, |W x| with x = unit(W^T u), is `sigma`.

    x = cos(a) first + sin(a) other, of two right singular vectors: |W x|^2 = cos(a)^2 s_1^2 + sin(a)^2 s_k^2 takes
    every value between. s_k is the one nearest to half of sigma from below sigma: u then holds no number so large or
    small that float32 would lose the others. Where training goes on, power iteration takes it away.

    Args:
        matrix: W [rows, columns].
        sigma: between its smallest and its largest singular value.

    Returns:
        float32 [rows, 1], of length 1.
    """
    matrix = matrix.astype(np.float64)
    left, singular = _left_singular(matrix)
    first, u = singular[0], left[:, 0]
    if not first:  # any will do
        u = np.ones(len(matrix))
    below = np.flatnonzero((singular <= sigma) & (singular > _NEGLIGIBLE * first))
    if below.size and first > sigma:
        k = below[np.argmin(np.abs(singular[below] - sigma / 2.0))]
        squared_sine = (first**2 - sigma**2) / (first**2 - singular[k] ** 2)
        u = u * np.sqrt(1.0 - squared_sine) / first + left[:, k] * np.sqrt(squared_sine) / singular[k]
    return (u / np.linalg.norm(u)).astype(np.float32)[:, np.newaxis]


def _left_singular(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Left singular vectors, as columns, and singular values, the largest first; by the smaller Gram matrix."""
    rows, columns = matrix.shape
    squares, vectors = np.linalg.eigh(matrix.T @ matrix if columns < rows else matrix @ matrix.T)
    singular, vectors = np.sqrt(np.maximum(squares[::-1], 0.0)), vectors[:, ::-1]
    if columns < rows:
        vectors = (matrix @ vectors) / np.maximum(singular, np.finfo(np.float64).tiny)
    return vectors, singular
