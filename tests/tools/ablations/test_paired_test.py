"""Tests of the paired t-test against tables, integration and worked numbers."""

import math

import numpy as np
import pytest

from tools.ablations.paired_test import adjust_by_holm, compare_pairs, compute_p_value, compute_t_quantile


@pytest.mark.parametrize(("degrees", "expected"), [(1, 12.706), (2, 4.303), (4, 2.776), (5, 2.571), (30, 2.042)])
def test_quantiles_are_those_of_printed_tables(degrees: int, expected: float):
    assert compute_t_quantile(degrees) == pytest.approx(expected, abs=6e-4)


@pytest.mark.parametrize("degrees", [1, 2, 3, 4, 7, 12])
def test_p_values_are_integrals_of_the_density(degrees: int):
    scale = math.gamma((degrees + 1) / 2) / (math.sqrt(degrees * math.pi) * math.gamma(degrees / 2))
    t = np.linspace(-2.5, 2.5, 200_001)
    inside = np.trapezoid(scale * (1 + t**2 / degrees) ** (-(degrees + 1) / 2), t)
    assert compute_p_value(2.5, degrees) == pytest.approx(1 - inside, abs=1e-9)
    assert compute_p_value(-2.5, degrees) == compute_p_value(2.5, degrees) and compute_p_value(0.0, degrees) == 1.0


def test_a_worked_example():
    """Differences 1, 2 and 6: mean 3, deviation sqrt(7), t = 3 / sqrt(7 / 3)."""
    test = compare_pairs([1.0, 1.0, 1.0], [2.0, 3.0, 7.0])
    assert test is not None and test.student is not None and (test.count, test.mean) == (3, 3.0)
    t = test.student.statistic
    assert test.deviation == pytest.approx(math.sqrt(7)) and t == pytest.approx(3 / math.sqrt(7 / 3))
    # With two degrees of freedom, p is 1 - t / sqrt(2 + t^2).
    assert test.student.p_value == pytest.approx(1 - t / math.sqrt(2 + t**2))
    margin = 4.302653 * math.sqrt(7 / 3)
    assert (test.student.low, test.student.high) == pytest.approx((3 - margin, 3 + margin), abs=1e-5)


@pytest.mark.parametrize("shift", [0.0, 0.1])
def test_equal_differences_have_no_t(shift: float):
    first = [0.3, 0.7, 1.1]
    test = compare_pairs(first, [value + shift for value in first])  # With 0.1, the differences differ by rounding.
    assert test is not None and (test.deviation, test.student) == (0.0, None) and test.mean == pytest.approx(shift)
    near = compare_pairs(first, [first[0] + 1e-9, *first[1:]])
    assert near is not None and near.student is not None and near.student.statistic == pytest.approx(1.0)
    assert compare_pairs([1.0], [2.0]) is None


@pytest.mark.parametrize(
    ("p_values", "expected"),
    [
        ([0.01, 0.02, 0.03, 0.04], [0.04, 0.06, 0.06, 0.06]),
        ([0.5, 0.012, 0.6], [1.0, 0.036, 1.0]),
        ([0.02, 0.5, 0.02], [0.06, 0.5, 0.06]),
        ([], []),
    ],
)
def test_adjusted_p_values(p_values: list[float], expected: list[float]):
    """The first example is that of `p.adjust(c(0.01, 0.02, 0.03, 0.04), "holm")` of R."""
    assert adjust_by_holm(p_values) == pytest.approx(expected)
