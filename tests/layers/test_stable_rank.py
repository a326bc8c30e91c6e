"""The stable rank of matrices with known singular values."""

import numpy as np
import pytest
import tensorflow as tf

from sagan_tf.layers.stable_rank import compute_stable_rank


def make_matrix(values: list[float], rows: int, columns: int) -> np.ndarray:
    generator = np.random.default_rng(0)
    left, right = (np.linalg.qr(generator.normal(size=(size, size)))[0] for size in (rows, columns))
    return left[:, : len(values)] @ np.diag(values) @ right[: len(values)]


@pytest.mark.parametrize("scale", [1.0, 1e-30, 1e30])
def test_stable_rank_is_the_sum_of_squares_over_the_largest(scale: float):
    matrix = make_matrix([5.0, 3.0, 2.0, 1.0], 6, 9) * scale
    assert float(compute_stable_rank(matrix)) == pytest.approx(39 / 25, rel=1e-5)
    assert float(compute_stable_rank(matrix.T)) == pytest.approx(39 / 25, rel=1e-5)


def test_orthogonal_matrix_has_full_stable_rank():
    assert float(compute_stable_rank(make_matrix([3.0] * 7, 7, 12))) == pytest.approx(7, rel=1e-5)


def test_zeros_have_stable_rank_0_and_half_precision_is_accepted():
    assert float(compute_stable_rank(tf.zeros([3, 4]))) == 0.0
    assert float(compute_stable_rank(tf.eye(4, dtype=tf.float16))) == pytest.approx(4)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_non_finite_matrix_has_stable_rank_nan(value: float):
    assert np.isnan(compute_stable_rank(np.array([[value, 1.0], [2.0, 3.0]], np.float32)))
