"""Tables of a study: metrics of each setting, and differences between settings."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Sequence
from typing import Any

from tools.ablations.outcomes import BEST, LAST, Outcome, group_by_setting
from tools.ablations.paired_test import PairedTest, compare_pairs, compute_t_quantile
from tools.comparisons.records import FINISHED
from tools.comparisons.results import (
    HEADINGS,
    OMITTED_METRICS,
    format_counts,
    format_csv_rows,
    format_mean,
    remove_sample_count,
)

Row = list[str]

_CELL_COLUMNS = ("images_seen", "training_seconds", "cpu_seconds", "machine", "message")
_METRIC_SPEC = ".3f"
_MIN_SHOWN_P_VALUE = 0.0005
_DIFFERENCE_HEADINGS = ("difference", "95 % interval", "t", "|t| for p < 0.05", "p", "seeds")


def list_metrics(outcomes: Sequence[Outcome]) -> list[str]:
    """Return the names of the metrics that a table shows, in the order of the evaluations."""
    names = dict.fromkeys(name for outcome in outcomes for values in outcome.evaluations.values() for name in values)
    return [name for name in names if remove_sample_count(name) not in OMITTED_METRICS]


def get_heading(metric: str) -> str:
    """Return the short name of a metric."""
    family = remove_sample_count(metric)
    return HEADINGS.get(family, family)


def make_metrics_table(outcomes: Sequence[Outcome], moment: str) -> list[Row]:
    """Make a table of means and standard deviations over the seeds, with a row for each setting.

    Args:
        outcomes: The outcomes of all cells.
        moment: `BEST` or `LAST`.
    """
    metrics = list_metrics(outcomes)
    rows = [["setting", *map(get_heading, metrics), "step", "runs"]]
    for setting, cells in group_by_setting(outcomes).items():
        moments = [cell.moments[moment] for cell in cells]
        row = [format_mean([each.metrics.get(metric) for each in moments], _METRIC_SPEC) for metric in metrics]
        steps = format_mean([each.step for each in moments], ",.0f")
        rows.append([setting, *row, steps, format_counts([cell.status for cell in cells])])
    return rows


def make_cost_table(outcomes: Sequence[Outcome]) -> list[Row]:
    """Make a table of the time of each setting, as means and standard deviations over its finished cells."""
    rows = [["setting", "training, s", "CPU, s", "images seen"]]
    for setting, cells in group_by_setting(outcomes).items():
        records = [cell.record for cell in cells if cell.status == FINISHED]
        names = ("training_seconds", "cpu_seconds", "images_seen")
        rows.append([setting, *(format_mean([record[name] for record in records], ",.0f") for name in names)])
    return rows


def make_differences_table(outcomes: Sequence[Outcome], metric: str, moment: str) -> list[Row]:
    """Make a table that compares every setting with the first by a paired t-test over the seeds."""
    first, *others = group_by_setting(outcomes)
    rows = [["setting", *_DIFFERENCE_HEADINGS]]
    for setting in others:
        test = compare_settings(outcomes, first, setting, metric, moment)
        rows.append([setting, *(_format_test(test) if test else ["-"] * len(_DIFFERENCE_HEADINGS))])
    return rows


def compare_settings(
    outcomes: Sequence[Outcome], first: str, second: str, metric: str, moment: str
) -> PairedTest | None:
    """Compare a metric of two settings over the seeds for which both have a number; None for fewer than two seeds."""
    groups = group_by_setting(outcomes)
    by_seed = [
        {cell.cell.seed: cell.moments[moment].metrics.get(metric, math.nan) for cell in groups[name]}
        for name in (first, second)
    ]
    seeds = [seed for seed in by_seed[0] if all(math.isfinite(values.get(seed, math.nan)) for values in by_seed)]
    return compare_pairs(*([values[seed] for seed in seeds] for values in by_seed))


def _format_test(test: PairedTest) -> Row:
    difference, critical = f"{test.mean:+.3f} ± {test.deviation:.3f}", f"{compute_t_quantile(test.count - 1):.2f}"
    student = test.student
    if student is None:
        return [difference, "-", "-", critical, "-", str(test.count)]
    p_value = f"{student.p_value:.3f}" if student.p_value >= _MIN_SHOWN_P_VALUE else "< 0.001"
    interval = f"{student.low:+.3f} to {student.high:+.3f}"
    return [difference, interval, f"{student.statistic:.2f}", critical, p_value, str(test.count)]


def format_cells_csv(outcomes: Sequence[Outcome]) -> str:
    """Format a line for each cell, with its metrics at the best and at the last step."""
    compared = [moment.metrics for outcome in outcomes for moment in outcome.moments.values()]
    names = list(dict.fromkeys(name for metrics in compared for name in metrics))
    columns = [(moment, name) for moment in (BEST, LAST) for name in names]
    heading = ["setting", "seed", "status", "best_step", "last_step", *(f"{m}/{name}" for m, name in columns)]
    rows: list[Sequence[Any]] = [[*heading, *_CELL_COLUMNS]]
    for outcome in outcomes:
        cell = outcome.cell
        values = [outcome.moments[moment].metrics.get(name, "") for moment, name in columns]
        steps = [
            "" if outcome.moments[moment].step is None else outcome.moments[moment].step for moment in (BEST, LAST)
        ]
        facts = [outcome.record.get(name, "") for name in _CELL_COLUMNS]
        rows.append([cell.setting.name, cell.seed, outcome.status, *steps, *values, *facts])
    return format_csv_rows(rows)


def format_differences_csv(outcomes: Sequence[Outcome]) -> str:
    """Format a line for each pair of settings, metric and moment, with the paired t-test over the seeds."""
    rows: list[Sequence[Any]] = [
        ["metric", "moment", "first", "second", "seeds", "mean", "deviation", "t", "p", "low", "high"]
    ]
    pairs = itertools.combinations(group_by_setting(outcomes), 2)
    for (first, second), metric, moment in itertools.product(pairs, list_metrics(outcomes), (BEST, LAST)):
        test = compare_settings(outcomes, first, second, metric, moment)
        if test:
            student = dataclasses.astuple(test.student) if test.student else ("",) * 4
            rows.append([metric, moment, first, second, test.count, test.mean, test.deviation, *student])
    return format_csv_rows(rows)


def format_markdown(rows: Sequence[Row]) -> str:
    """Format rows, of which the first is the heading, as a table in Markdown."""
    heading, *body = rows
    lines = [heading, ["---"] * len(heading), *body]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)
