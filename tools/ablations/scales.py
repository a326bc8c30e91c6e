"""Scales of comparisons: ratio of the geometric means of two settings, and difference of their means."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence

from tools.ablations.paired_test import PairedTest, compare_pairs, compare_ratios


@dataclasses.dataclass(frozen=True)
class Scale:
    """A scale on which two settings are compared.

    Attributes:
        name: The name.
        compare: Tests the values of one setting against those of another, seed by seed.
        convert: Converts a mean, or an end of an interval, of this test to the scale.
        needs_positive_values: Whether the test needs values above 0.
    """

    name: str
    compare: Callable[[Sequence[float], Sequence[float]], PairedTest | None]
    convert: Callable[[float], float]
    needs_positive_values: bool


def _exponentiate(logarithm: float) -> float:
    """Return the exponential, infinite if it is too large."""
    try:
        return math.exp(logarithm)
    except OverflowError:
        return math.inf


RATIO = Scale("ratio", compare_ratios, _exponentiate, needs_positive_values=True)
DIFFERENCE = Scale("difference", compare_pairs, float, needs_positive_values=False)
