"""Paired t-test over seeds, without a library of statistics."""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Sequence

CONFIDENCE = 0.95
SIGNIFICANCE = 0.05
"""Limit of the adjusted p values below which a pair is called different."""
_BISECTIONS = 200
_MAX_QUANTILE = 1e6
_ROUNDING = 1e-12
"""Deviation of equal differences, relative to the values, that rounding to float64 can cause."""


@dataclasses.dataclass(frozen=True)
class Student:
    """Student's t of a mean difference.

    Attributes:
        statistic: Student's t, the mean divided by its standard error.
        p_value: Probability of a t at least as far from 0 if the settings were equal (two-sided).
        low: Lower end of the 95 % confidence interval of the mean difference.
        high: Upper end of this interval.
    """

    statistic: float
    p_value: float
    low: float
    high: float


@dataclasses.dataclass(frozen=True)
class PairedTest:
    """Difference of two settings, seed by seed: of their values, or of the logarithms of their values.

    Attributes:
        count: Number of seeds.
        mean: Mean difference.
        deviation: Standard deviation of the differences; 0 if they are equal but for rounding.
        student: Student's t; None if the deviation is 0, for which t is not defined.
    """

    count: int
    mean: float
    deviation: float
    student: Student | None


def compare_pairs(first: Sequence[float], second: Sequence[float]) -> PairedTest | None:
    """Test whether the mean of `second - first` is 0; None for fewer than two pairs.

    The test assumes that the differences are normally distributed, which a few seeds cannot show.

    Args:
        first: Values of one setting by seed.
        second: Values of the other setting for the same seeds.
    """
    return _test_differences(first, second, _ROUNDING * max(map(abs, (*first, *second)), default=0.0))


def compare_ratios(first: Sequence[float], second: Sequence[float]) -> PairedTest | None:
    """Test whether the geometric mean of `second / first` is 1; None for fewer than two pairs.

    This is the test of `compare_pairs` for the logarithms, so that exp(mean) is the ratio of the geometric means. It
    suits a metric that settings are expected to change by a factor, such as a Fréchet distance.

    Args:
        first: Values of one setting by seed, above 0.
        second: Values of the other setting for the same seeds, above 0.
    """
    first, second = ([math.log(value) for value in values] for values in (first, second))
    # A relative error of a value is an absolute error of its logarithm.
    largest = max(map(abs, (*first, *second)), default=0.0)
    return _test_differences(first, second, _ROUNDING * max(1.0, largest))


def _test_differences(first: Sequence[float], second: Sequence[float], rounding: float) -> PairedTest | None:
    """Test whether the mean of `second - first` is 0. A deviation of at most `rounding` counts as 0."""
    differences = [after - before for before, after in zip(first, second, strict=True)]
    count = len(differences)
    if count < 2:
        return None
    mean, deviation = statistics.fmean(differences), statistics.stdev(differences)
    if deviation <= rounding:
        return PairedTest(count, mean, 0.0, None)
    standard_error = deviation / math.sqrt(count)
    margin = compute_t_quantile(count - 1) * standard_error
    statistic = mean / standard_error
    student = Student(statistic, compute_p_value(statistic, count - 1), mean - margin, mean + margin)
    return PairedTest(count, mean, deviation, student)


def compute_p_value(statistic: float, degrees: int) -> float:
    """Compute the two-sided probability of Student's t.

    It is 1 - A(t), with the finite sums 26.7.3 and 26.7.4 of Abramowitz and Stegun, Handbook of Mathematical Functions.

    Args:
        statistic: Student's t.
        degrees: Degrees of freedom, at least 1.
    """
    angle = math.atan(abs(statistic) / math.sqrt(degrees))
    cosine = math.cos(angle)
    term, total = (cosine, 0.0) if degrees % 2 else (1.0, 0.0)
    for index in range(1 + degrees % 2, degrees, 2):
        total += term
        term *= cosine**2 * index / (index + 1)
    inside = math.sin(angle) * total
    if degrees % 2:
        inside = 2.0 / math.pi * (angle + inside)
    return max(0.0, 1.0 - inside)


def compute_t_quantile(degrees: int, confidence: float = CONFIDENCE) -> float:
    """Compute the t between whose negative and positive value lies a share `confidence` of the distribution."""
    low, high = 0.0, _MAX_QUANTILE
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2.0
        low, high = (low, middle) if compute_p_value(middle, degrees) < 1.0 - confidence else (middle, high)
    return high


def compute_smallest_t(num_seeds: int, num_pairs: int) -> float:
    """Compute the |t| above which the smallest p of a table is below `SIGNIFICANCE` after Holm's adjustment.

    Args:
        num_seeds: Number of seeds of each pair, at least 2.
        num_pairs: Number of pairs, as in `adjust_by_holm`.
    """
    return compute_t_quantile(num_seeds - 1, 1.0 - SIGNIFICANCE / num_pairs)


def adjust_by_holm(p_values: Sequence[float], num_pairs: int) -> list[float]:
    """Adjust p values for a number of tests by the step-down method of Holm (Scandinavian Journal of Statistics, 1979).

    If all tests whose adjusted p is below 0.05 are called significant, the probability that any of these calls is wrong
    is at most 0.05.

    Args:
        p_values: The p values of the tests that have one.
        num_pairs: Number of all tests, which is known before any run. Those without a p value count as if it were 1.

    Returns:
        The adjusted p values, in the order of the tests.
    """
    adjusted, largest = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=lambda index: p_values[index])):
        largest = max(largest, min(1.0, (num_pairs - rank) * p_values[index]))
        adjusted[index] = largest
    return adjusted
