"""Table of the comparisons of a study by its selecting metric, and how large a difference has to be."""

from __future__ import annotations

import math
from collections.abc import Sequence

from tools.ablations.comparisons import Comparison
from tools.ablations.metric_text import choose_decimals, format_p_value
from tools.ablations.paired_test import SIGNIFICANCE, PairedTest, compute_smallest_t
from tools.comparisons.summaries import format_count

_HEADINGS = (
    "first",
    "second",
    "mean of first",
    "mean of second",
    "ratio (95 % interval)",
    "p",
    "p (Holm)",
    "seeds",
)
_MIN_DECIMALS = 2
_MAX_SHOWN_RATIO = 1000


def make_comparisons_table(comparisons: Sequence[Comparison], metric: str) -> list[list[str]]:
    """Make a table with a row for each pair of settings, which are compared by the scale `RATIO`."""
    rows = [list(_HEADINGS)]
    for each in comparisons:
        decimals = choose_decimals(metric, each.means)
        means = [f"{mean:.{decimals}f}" for mean in each.means] or ["-", "-"]
        done, total = each.seeds
        ratio, student = (_format_ratio(each.test), each.test.student) if each.test else ("", None)
        texts = "; ".join(filter(None, (ratio, each.reason, each.deaths.describe())))
        p_values = [
            "-" if p is None else format_p_value(p) for p in (student.p_value if student else None, each.holm_p)
        ]
        rows.append([*each.pair, *means, texts, *p_values, str(done) if done == total else f"{done} of {total}"])
    return rows


def describe_power(comparisons: Sequence[Comparison]) -> str:
    """Return what the smallest p of a table needs, and what a large p does not show."""
    seeds, pairs = max(each.seeds[1] for each in comparisons), len(comparisons)
    if seeds < 2:
        return "A single seed cannot be tested."
    return (
        f"With {seeds} seeds and {format_count(pairs, 'pair')}, the smallest p (Holm) is below "
        f"{SIGNIFICANCE} only if the |t| of that pair is above {compute_smallest_t(seeds, pairs):.2f}. A p of "
        f"{SIGNIFICANCE} or more does not show that settings are equal."
    )


def _format_ratio(test: PairedTest) -> str:
    """Format the ratio of a test of logarithms with its interval."""
    student = test.student
    if student is None:
        return f"{_format_exp(test.mean, _MIN_DECIMALS)} (equal for all seeds)"
    # At least two significant digits of half the interval, so that its ends differ from each other.
    half_width = test.mean / math.log(10.0) + math.log10((student.high - student.low) / 2.0)
    decimals = max(_MIN_DECIMALS, 1 - math.floor(half_width))
    ratio, low, high = (_format_exp(value, decimals) for value in (test.mean, student.low, student.high))
    return f"{ratio} ({low} to {high})"


def _format_exp(logarithm: float, decimals: int) -> str:
    if logarithm > math.log(_MAX_SHOWN_RATIO):
        return f"> {_MAX_SHOWN_RATIO:,}"
    smallest = 10.0**-decimals
    return f"{math.exp(logarithm):.{decimals}f}" if logarithm >= math.log(smallest) else f"< {smallest:.{decimals}f}"
