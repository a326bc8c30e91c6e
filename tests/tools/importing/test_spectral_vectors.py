"""Tests that a vector on the rows of a matrix gives the same estimate of sigma as one on the columns."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from sagan_tf.layers.spectral_normalization import SpectralNormalization
from tools.importing.spectral_vectors import compute_row_vector, estimate_sigma_from_columns


def official_sigma(matrix: np.ndarray, u: np.ndarray) -> float:
    """Compute sigma as the official code does: v from u, u from v, and v W u^T."""
    v = u @ matrix.T
    v = v / np.sqrt(np.sum(v**2))
    back = v @ matrix
    back = back / np.sqrt(np.sum(back**2))
    return float(np.squeeze(v @ matrix @ back.T))


def our_sigma(matrix: np.ndarray, u: np.ndarray) -> float:
    """Compute sigma with the layer."""
    layer = SpectralNormalization(keras.layers.Dense(matrix.shape[1], use_bias=False))
    layer.build((None, matrix.shape[0]))
    layer.layer.kernel.assign(matrix)
    layer.u.assign(u)
    return float(layer.sigma())


@pytest.mark.parametrize("shape", [(27, 4), (4, 27), (6, 6), (5, 1), (1, 5), (128, 300)])
@pytest.mark.parametrize("iterations", [0, 1, 5])
def test_rows_and_columns_give_the_same_sigma(shape: tuple[int, int], iterations: int) -> None:
    rng = np.random.default_rng(3)
    matrix, u = rng.normal(size=shape), rng.normal(size=(1, shape[1]))
    for _ in range(iterations):
        u = u @ matrix.T @ matrix
    sigma = estimate_sigma_from_columns(matrix, u)
    assert sigma == pytest.approx(official_sigma(matrix, u), rel=1e-12)
    found = compute_row_vector(matrix, sigma)
    assert found.dtype == np.float32 and found.shape == (shape[0], 1)
    assert np.linalg.norm(found) == pytest.approx(1.0, abs=1e-6)
    assert our_sigma(matrix, found) == pytest.approx(sigma, rel=3e-6)


@pytest.mark.parametrize(
    "matrix",
    [
        np.outer([1.0, 2.0, 3.0], [2.0, 0.0]),  # The second singular value is 0.
        np.diag([2.0, 2.0, 2.0]),
        np.diag([3.0, 1e-12, 0.0]),
        np.zeros((3, 2)),
    ],
)
def test_singular_matrices_and_equal_singular_values(matrix: np.ndarray) -> None:
    sigma = estimate_sigma_from_columns(matrix, np.array([1.0, 0.5, 0.25])[: matrix.shape[1]])
    found = compute_row_vector(matrix, sigma)
    assert np.all(np.isfinite(found)) and our_sigma(matrix, found) == pytest.approx(sigma, rel=1e-6)
