"""Tests of the paired t-test against tables, integration and worked numbers."""

import math

import numpy as np
import pytest

from tools.ablations.paired_test import (
    adjust_by_holm,
    compare_pairs,
    compare_ratios,
    compute_p_value,
    compute_smallest_t,
    compute_t_quantile,
)


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


def test_the_test_of_ratios_is_that_of_logarithms():
    """The ratios are 1/2, 1/4 and 1/8, whose logarithms have the mean -2 log 2 and the deviation log 2."""
    test = compare_ratios([8.0, 4.0, 80.0], [4.0, 1.0, 10.0])
    assert test is not None and test.student is not None and math.exp(test.mean) == pytest.approx(0.25)
    assert test.deviation == pytest.approx(math.log(2)) and test.student.statistic == pytest.approx(-2 * math.sqrt(3))
    logarithms = compare_pairs(np.log([8.0, 4.0, 80.0]).tolist(), np.log([4.0, 1.0, 10.0]).tolist())
    assert logarithms is not None and logarithms.student is not None
    assert (test.student.p_value, test.student.low, test.student.high) == pytest.approx(
        (logarithms.student.p_value, logarithms.student.low, logarithms.student.high)
    )
    # The level of a seed does not matter, and the reverse has the reciprocal ratio.
    scaled = compare_ratios([0.8, 4.0, 8000.0], [0.4, 1.0, 1000.0])
    assert scaled is not None and scaled.student is not None
    assert scaled.student.statistic == pytest.approx(test.student.statistic)
    reverse = compare_ratios([4.0, 1.0, 10.0], [8.0, 4.0, 80.0])
    assert reverse is not None and reverse.student is not None
    assert (reverse.mean, reverse.student.low) == pytest.approx((-test.mean, -test.student.high))


def test_equal_ratios_have_no_t():
    """The values are near 1, so that the logarithms are small, and their differences differ by rounding."""
    first = [1.0 + 1e-7, 1.0 + 3e-7, 1.0 - 2e-7]
    test = compare_ratios(first, [value * (1.0 + 1e-7) for value in first])
    assert test is not None and test.student is None and test.mean == pytest.approx(1e-7)
    assert compare_ratios([], []) is None and compare_pairs([], []) is None


@pytest.mark.parametrize(
    ("num_pairs", "three", "five"), [(2, 6.205, 3.495), (4, 8.860, 4.315), (6, 10.886, 4.851), (12, 15.444, 5.885)]
)
def test_the_smallest_t_of_a_number_of_pairs(num_pairs: int, three: float, five: float):
    """With two degrees of freedom, t is sqrt(2) q / sqrt(1 - q^2) for q = 1 - 0.05 / pairs."""
    share = 1.0 - 0.05 / num_pairs
    assert three == pytest.approx(math.sqrt(2.0) * share / math.sqrt(1.0 - share**2), abs=6e-4)
    assert compute_smallest_t(3, num_pairs) == pytest.approx(three, abs=6e-4)
    assert compute_smallest_t(5, num_pairs) == pytest.approx(five, abs=6e-4)
    p_value = compute_p_value(compute_smallest_t(5, num_pairs), 4)
    assert adjust_by_holm([p_value], num_pairs) == pytest.approx([0.05])


@pytest.mark.parametrize(
    ("p_values", "num_pairs", "expected"),
    [
        ([0.01, 0.02, 0.03, 0.04], 4, [0.04, 0.06, 0.06, 0.06]),
        ([0.5, 0.012, 0.6], 3, [1.0, 0.036, 1.0]),
        ([0.02, 0.5, 0.02], 3, [0.06, 0.5, 0.06]),
        ([0.02, 0.01], 4, [0.06, 0.04]),
        ([], 2, []),
    ],
)
def test_adjusted_p_values(p_values: list[float], num_pairs: int, expected: list[float]):
    """The first example is that of `p.adjust(c(0.01, 0.02, 0.03, 0.04), "holm")` of R."""
    assert adjust_by_holm(p_values, num_pairs) == pytest.approx(expected)
    # Tests without a p value count as those with 1.
    ones = [1.0] * (num_pairs - len(p_values))
    assert adjust_by_holm([*p_values, *ones], num_pairs) == pytest.approx([*expected, *ones])
