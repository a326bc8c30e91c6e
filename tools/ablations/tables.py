"""Tables of a study: metrics of each setting, and differences between settings."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

from tools.ablations.outcomes import Outcome, group_by_setting
from tools.ablations.paired_test import PairedTest, compare_pairs
from tools.comparisons.records import FAILED, FINISHED, NOT_STARTED, UNFINISHED, UNHEALTHY
from tools.comparisons.results import HEADINGS, OMITTED_METRICS, format_csv_rows, format_mean, remove_sample_count

Row = list[str]

BEST, LAST = "best", "last"
"""The two steps of a run whose metrics are compared."""
_CELL_COLUMNS = ("images_seen", "training_seconds", "cpu_seconds", "machine", "message")
_METRIC_SPEC = ".3f"
_DIFFERENCE_HEADINGS = ("difference", "95 % interval", "t", "p", "seeds")


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
        values = [getattr(cell, moment) for cell in cells]
        row = [format_mean([value.get(metric) for value in values], _METRIC_SPEC) for metric in metrics]
        steps = format_mean([getattr(cell, f"{moment}_step") for cell in cells], ",.0f")
        rows.append([setting, *row, steps, count_statuses(cells)])
    return rows


def make_cost_table(outcomes: Sequence[Outcome]) -> list[Row]:
    """Make a table of the time of each setting, as means and standard deviations over its finished cells."""
    rows = [["setting", "training, s", "CPU, s", "images seen"]]
    for setting, cells in group_by_setting(outcomes).items():
        records = [cell.record for cell in cells if cell.status == FINISHED]
        names = ("training_seconds", "cpu_seconds", "images_seen")
        rows.append([setting, *(format_mean([record[name] for record in records], ",.0f") for name in names)])
    return rows


def count_statuses(cells: Sequence[Outcome]) -> str:
    """Format how many cells have finished, and how many have each other status."""
    parts = [f"{sum(cell.status == FINISHED for cell in cells)} of {len(cells)}"]
    for status in (UNHEALTHY, FAILED, UNFINISHED, NOT_STARTED):
        count = sum(cell.status == status for cell in cells)
        parts += [f"{count} {status}"] if count else []
    return ", ".join(parts)


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
        {cell.cell.seed: getattr(cell, moment).get(metric, math.nan) for cell in groups[name]}
        for name in (first, second)
    ]
    seeds = [seed for seed in by_seed[0] if all(math.isfinite(values.get(seed, math.nan)) for values in by_seed)]
    return compare_pairs(*([values[seed] for seed in seeds] for values in by_seed))


def _format_test(test: PairedTest) -> Row:
    return [
        f"{test.mean:+.3f} ± {test.deviation:.3f}",
        f"{test.low:+.3f} to {test.high:+.3f}",
        f"{test.statistic:.2f}",
        f"{test.p_value:.3f}" if test.p_value >= 0.0005 else "< 0.001",
        str(test.count),
    ]


def format_cells_csv(outcomes: Sequence[Outcome]) -> str:
    """Format a line for each cell, with its metrics at the best and at the last step."""
    names = list(dict.fromkeys(name for cell in outcomes for values in (cell.best, cell.last) for name in values))
    moments = [(moment, name) for moment in (BEST, LAST) for name in names]
    heading = ["setting", "seed", "status", "best_step", "last_step", *(f"{m}/{name}" for m, name in moments)]
    rows: list[Sequence[Any]] = [[*heading, *_CELL_COLUMNS]]
    for outcome in outcomes:
        cell = outcome.cell
        values = [getattr(outcome, moment).get(name, "") for moment, name in moments]
        steps = ["" if step is None else step for step in (outcome.best_step, outcome.last_step)]
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
            numbers = (test.count, test.mean, test.deviation, test.statistic, test.p_value, test.low, test.high)
            rows.append([metric, moment, first, second, *numbers])
    return format_csv_rows(rows)


def format_markdown(rows: Sequence[Row]) -> str:
    """Format rows, of which the first is the heading, as a table in Markdown."""
    heading, *body = rows
    lines = [heading, ["---"] * len(heading), *body]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)
