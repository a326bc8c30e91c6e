"""Runs of two settings that died, compared by Fisher's exact test."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from tools.ablations.metric_text import format_p_value
from tools.ablations.outcomes import Outcome


class Deaths(NamedTuple):
    """Numbers of runs of two settings that died, of those that have ended.

    Attributes:
        first_died: Runs of the first setting that training stopped as unhealthy.
        first_ended: Its runs that died or finished.
        second_died: The same of the second setting.
        second_ended: The same of the second setting.
    """

    first_died: int
    first_ended: int
    second_died: int
    second_ended: int

    def describe(self) -> str:
        """Return the numbers in words with the p value of their difference; empty if no run died."""
        if not self.first_died and not self.second_died:
            return ""
        p_value = format_p_value(compute_fisher_p_value(*self))
        first, second = f"{self.first_died} of {self.first_ended}", f"{self.second_died} of {self.second_ended}"
        return f"died: {first} against {second} (Fisher's p {p_value})"


def count_deaths(first: Sequence[Outcome], second: Sequence[Outcome]) -> Deaths:
    """Count the runs of two settings that died. A run that has not ended may still die, and is not counted."""
    return Deaths(
        sum(run.has_died for run in first),
        sum(run.has_ended for run in first),
        sum(run.has_died for run in second),
        sum(run.has_ended for run in second),
    )


def compute_fisher_p_value(first_died: int, first_ended: int, second_died: int, second_ended: int) -> float:
    """Compute the two-sided p value of Fisher's exact test that two settings die equally often.

    For a fixed number of deaths of both together, it is the probability of all divisions among the settings that are at
    most as probable as this one (hypergeometric distribution; Fisher, The Design of Experiments, 1935).

    Args:
        first_died: Runs of the first setting that died, from 0 to `first_ended`.
        first_ended: Runs of the first setting that have ended.
        second_died: Runs of the second setting that died, from 0 to `second_ended`.
        second_ended: Runs of the second setting that have ended.

    Returns:
        The p value, above 0 and at most 1.
    """
    died = first_died + second_died
    weights = [math.comb(first_ended, count) * math.comb(second_ended, died - count) for count in range(died + 1)]
    return sum(weight for weight in weights if weight <= weights[first_died]) / sum(weights)
