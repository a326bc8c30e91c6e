"""Comparisons of two settings of a study by paired t-tests over the seeds."""

from __future__ import annotations

import dataclasses
import itertools
import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tools.ablations.metric_text import choose_decimals, list_metrics_of
from tools.ablations.outcomes import BEST, LAST, Outcome, group_by_setting
from tools.ablations.paired_test import PairedTest, adjust_by_holm, compare_pairs, compute_t_quantile
from tools.ablations.studies import Pair
from tools.comparisons.results import format_csv_rows

Row = list[str]

_HEADINGS = (
    "first",
    "second",
    "mean of first",
    "mean of second",
    "difference (95 % interval)",
    "p",
    "p (Holm)",
    "seeds",
)
_CSV_COLUMNS = (
    "metric", "moment", "first", "second", "first_mean", "second_mean", "seeds", "difference", "deviation", "t",
    "critical_t", "p", "holm_p", "low", "high", "note",
)  # fmt: skip
_MIN_SHOWN_P_VALUE = 0.001


@dataclasses.dataclass(frozen=True)
class Comparison:
    """A metric of two settings at one moment of their runs.

    Attributes:
        pair: Names of the settings.
        means: Means of both over the seeds for which both have a value; empty without such seeds, or if a run died.
        seeds: Number of these seeds, and number of all.
        test: The test of the second minus the first; None if the settings are not compared.
        reason: Why they are not; empty if they are.
        holm_p: The p value of the test, adjusted for the number of tests; None if there is no p value.
    """

    pair: Pair
    means: tuple[float, ...]
    seeds: tuple[int, int]
    test: PairedTest | None
    reason: str
    holm_p: float | None = None


def compare_settings(outcomes: Sequence[Outcome], pairs: Iterable[Pair], metric: str, moment: str) -> list[Comparison]:
    """Compare a metric of pairs of settings, and adjust the p values for the number of pairs.

    Args:
        outcomes: The outcomes of all cells.
        pairs: Names of the settings of each pair.
        metric: The metric.
        moment: `BEST` or `LAST`.
    """
    groups = group_by_setting(outcomes)
    compared = [_compare(groups, pair, metric, moment) for pair in pairs]
    tested = [index for index, each in enumerate(compared) if each.test and each.test.student]
    p_values = [each.test.student.p_value for each in compared if each.test and each.test.student]
    for index, p_value in zip(tested, adjust_by_holm(p_values), strict=True):
        compared[index] = dataclasses.replace(compared[index], holm_p=p_value)
    return compared


def _compare(groups: Mapping[str, Sequence[Outcome]], pair: Pair, metric: str, moment: str) -> Comparison:
    by_seed = [
        {cell.cell.seed: cell.moments[moment].metrics.get(metric, math.nan) for cell in groups[name]} for name in pair
    ]
    seeds = [seed for seed in by_seed[0] if all(math.isfinite(values.get(seed, math.nan)) for values in by_seed)]
    first, second = ([values[seed] for seed in seeds] for values in by_seed)
    means = (statistics.fmean(first), statistics.fmean(second)) if seeds else ()
    counts = len(seeds), max(map(len, by_seed))
    died = [(name, sum(cell.has_died for cell in groups[name])) for name in pair]
    reason = " and ".join(f"{count} of {len(groups[name])} runs of {name}" for name, count in died if count)
    if reason:
        # Means of only the runs that did not die would be too good.
        return Comparison(pair, (), counts, None, f"not compared: {reason} died")
    test = compare_pairs(first, second)
    reason = "" if test else "not compared: fewer than two seeds have a value of both"
    return Comparison(pair, means, counts, test, reason)


def make_comparisons_table(comparisons: Sequence[Comparison], metric: str) -> list[Row]:
    """Make a table with a row for each pair of settings."""
    rows = [list(_HEADINGS)]
    for each in comparisons:
        decimals = choose_decimals(metric, each.means)
        means = [f"{mean:.{decimals}f}" for mean in each.means] or ["-", "-"]
        done, total = each.seeds
        seeds = str(done) if done == total else f"{done} of {total}"
        test = _format_test(each.test, each.holm_p, decimals) if each.test else [each.reason, "-", "-"]
        rows.append([*each.pair, *means, *test, seeds])
    return rows


def _format_test(test: PairedTest, holm_p: float | None, decimals: int) -> Row:
    student = test.student
    if student is None or holm_p is None:
        return [f"{test.mean:+.{decimals}f} (equal for all seeds)", "-", "-"]
    # At least two significant digits of half the interval, so that its ends differ from each other.
    decimals = max(decimals, 1 - math.floor(math.log10((student.high - student.low) / 2.0)))
    difference = f"{test.mean:+.{decimals}f} ({student.low:+.{decimals}f} to {student.high:+.{decimals}f})"
    return [difference, format_p_value(student.p_value), format_p_value(holm_p)]


def format_p_value(value: float) -> str:
    """Format a p value with three significant digits, so that 0.0499 is not 0.050."""
    return f"{value:#.3g}" if value >= _MIN_SHOWN_P_VALUE else f"< {_MIN_SHOWN_P_VALUE}"


def format_comparisons_csv(outcomes: Sequence[Outcome], pairs: Sequence[Pair], metric: str) -> str:
    """Format a line for each pair of settings, metric and moment.

    Args:
        outcomes: The outcomes of all cells.
        pairs: The pairs of the study, whose p values of the selecting metric are adjusted. The other pairs follow.
        metric: The selecting metric.
    """
    known = {frozenset(pair) for pair in pairs}
    others = [pair for pair in itertools.combinations(group_by_setting(outcomes), 2) if frozenset(pair) not in known]
    rows: list[Sequence[Any]] = [_CSV_COLUMNS]
    for chosen, name, moment in itertools.product((pairs, others), list_metrics_of(outcomes), (BEST, LAST)):
        for each in compare_settings(outcomes, chosen, name, moment):
            holm_p = each.holm_p if chosen is pairs and name == metric else None
            rows.append([name, moment, *_format_values(each, holm_p)])
    return format_csv_rows(rows)


def _format_values(comparison: Comparison, holm_p: float | None) -> list[Any]:
    test, means = comparison.test, comparison.means or ("", "")
    values: list[Any] = [*comparison.pair, *means, comparison.seeds[0]]
    if test is None:
        return [*values, *[""] * 8, comparison.reason]
    critical, student = compute_t_quantile(test.count - 1), test.student
    if student is None:
        return [*values, test.mean, test.deviation, "", critical, *[""] * 4, "equal differences"]
    adjusted = "" if holm_p is None else holm_p
    results = [student.statistic, critical, student.p_value, adjusted, student.low, student.high, ""]
    return [*values, test.mean, test.deviation, *results]
