"""Paired t-test over seeds, without a library of statistics."""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Sequence

CONFIDENCE = 0.95
_BISECTIONS = 200
_MAX_QUANTILE = 1e4
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
    """Difference of two settings, seed by seed.

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
    differences = [after - before for before, after in zip(first, second, strict=True)]
    count = len(differences)
    if count < 2:
        return None
    mean, deviation = statistics.fmean(differences), statistics.stdev(differences)
    if deviation <= _ROUNDING * max(map(abs, (*first, *second))):
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


def adjust_by_holm(p_values: Sequence[float]) -> list[float]:
    """Adjust p values for their number by the step-down method of Holm (Scandinavian Journal of Statistics, 1979).

    If all tests of a table whose adjusted p is below 0.05 are called significant, the probability that any of these
    calls is wrong is at most 0.05.

    Args:
        p_values: The p values of all tests of a table.

    Returns:
        The adjusted p values, in the order of the tests.
    """
    adjusted, largest = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=lambda index: p_values[index])):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = largest
    return adjusted
