"""Tables of a study: metrics and cost of each setting, and a line of each cell."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from typing import Any

from tools.ablations.metric_text import (
    choose_decimals,
    find_best,
    format_heading,
    list_metrics_of,
    select_headline_metrics,
)
from tools.ablations.outcomes import BEST, LAST, Outcome, group_by_setting
from tools.ablations.portable import hide_paths_in_message
from tools.comparisons.records import FINISHED, NOT_STARTED, UNHEALTHY
from tools.comparisons.run_files import compute_training_seconds, read_run_records
from tools.comparisons.summaries import format_counts, format_csv_rows, format_mean

_CELL_COLUMNS = ("images_seen", "training_seconds", "cpu_seconds", "replicas", "machine")
_ANSWERS = {True: "yes", False: "no", None: ""}
_NO_BREAK_SPACE = "\N{NO-BREAK SPACE}"
_COSTS = ("training_seconds", "cpu_seconds", "images_seen")


def make_metrics_table(outcomes: Sequence[Outcome], metric: str, moment: str) -> list[list[str]]:
    """Make a table of means and standard deviations over the seeds, with a row for each setting.

    Args:
        outcomes: The outcomes of all cells.
        metric: The selecting metric.
        moment: `BEST`, with a column of the step, or `LAST`.
    """
    groups = group_by_setting(outcomes)
    rows = [["setting", "runs", "died", "collapsed", "similar samples"]]
    for setting, cells in groups.items():
        died, collapsed = str(sum(cell.has_died for cell in cells)), _count(cell.has_collapsed for cell in cells)
        counts = format_counts([cell.status for cell in cells], omitted=(UNHEALTHY,))  # They have their own column.
        rows.append([setting, counts, died, collapsed, _count(cell.has_similar_samples for cell in cells)])
    for name in select_headline_metrics(list_metrics_of(outcomes), metric):
        values = {
            setting: [cell.moments[moment].metrics.get(name) for cell in cells] for setting, cells in groups.items()
        }
        best = find_best(name, values)
        rows[0].append(format_heading(name))
        for row, (setting, by_run) in zip(rows[1:], values.items(), strict=True):
            text = format_metric_mean(name, by_run)
            row.append(f"**{text}**" if setting in best else text)
    if moment == BEST:
        rows[0].append("step")
        for row, cells in zip(rows[1:], groups.values(), strict=True):
            row.append(format_mean([cell.moments[moment].step for cell in cells], ",.0f"))
    return rows


def _count(answers: Iterable[bool | None]) -> str:
    """Count the runs to which something applies; `-` if it is not known for any."""
    known = [answer for answer in answers if answer is not None]
    return str(sum(known)) if known else "-"


def format_metric_mean(metric: str, values: Sequence[float | None]) -> str:
    """Format the mean and the standard deviation of a metric, as `format_mean` does."""
    known = [value for value in values if value is not None and math.isfinite(value)]
    return format_mean(values, f".{choose_decimals(metric, [statistics.fmean(known)] if known else [])}f")


def make_cost_table(outcomes: Sequence[Outcome]) -> list[list[str]]:
    """Make a table of the time of each setting, over its cells that have been started, and their total."""
    rows = [["setting", "cells", "training, s", "CPU, s", "images seen"]]
    costs = {
        setting: [_read_cost(cell) for cell in cells if cell.status != NOT_STARTED]
        for setting, cells in group_by_setting(outcomes).items()
    }
    for setting, group in costs.items():
        means = (format_mean([cost[name] for cost in group], ",.0f") for name in _COSTS)
        rows.append([setting, str(len(group)), *means])
    every = [cost for group in costs.values() for cost in group]
    rows.append(["total", str(len(every)), *(_format_sum([cost[name] for cost in every]) for name in _COSTS)])
    return rows


def _format_sum(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    return f"{sum(known):,.0f}" + ("" if len(known) == len(values) else f" (n={len(known)})")


def _read_cost(outcome: Outcome) -> dict[str, float | None]:
    """Read the cost of a cell; that of a cell that has not finished is up to the last line of its log.

    CPU seconds are None before the end of the first process.
    """
    if outcome.status == FINISHED:
        return {name: outcome.record[name] for name in _COSTS}
    cell = outcome.cell
    trained = [line for line in read_run_records(cell.run_dir) if line["kind"] == "train"]
    images = trained[-1]["step"] * trained[-1]["images_per_second"] / trained[-1]["steps_per_second"] if trained else 0
    seconds = compute_training_seconds(cell.run_dir, cell.path_with_suffix(".log"))
    return {
        "training_seconds": seconds,
        "cpu_seconds": outcome.record.get("cpu_seconds") or None,
        "images_seen": round(images),
    }


def format_cells_csv(outcomes: Sequence[Outcome]) -> str:
    """Format a line for each cell, with its metrics at the best and at the last step."""
    compared = [moment.metrics for outcome in outcomes for moment in outcome.moments.values()]
    names = list(dict.fromkeys(name for metrics in compared for name in metrics))
    columns = [(moment, name) for moment in (BEST, LAST) for name in names]
    heading = ["setting", "seed", "status", "collapsed", "similar_samples", "sample_distance_ratio", "best_step"]
    heading += ["last_step", *(f"{moment}/{name}" for moment, name in columns)]
    rows: list[Sequence[Any]] = [[*heading, *_CELL_COLUMNS, "message"]]
    for outcome in outcomes:
        cell = outcome.cell
        steps = [outcome.moments[moment].step for moment in (BEST, LAST)]
        facts = [cell.setting.name, cell.seed, outcome.status, _ANSWERS[outcome.has_collapsed]]
        facts.append(_ANSWERS[outcome.has_similar_samples])
        facts += ["" if value is None else value for value in (outcome.sample_distance_ratio, *steps)]
        facts += [outcome.moments[moment].metrics.get(name, "") for moment, name in columns]
        # CPU seconds are 0 before the end of the first process.
        known = {name: value for name, value in outcome.record.items() if (name, value) != ("cpu_seconds", 0.0)}
        facts += [known.get(name, "") for name in _CELL_COLUMNS]
        # The results may be published.
        rows.append([*facts, hide_paths_in_message(str(known.get("message", "")), cell.directory)])
    return format_csv_rows(rows)


def format_markdown(rows: Sequence[Sequence[str]]) -> str:
    """Format rows, of which the first is the heading, as a table in Markdown.

    A narrow column has a line break before a deviation, and not within it.
    """
    heading, *body = rows
    lines = [heading, ["---"] * len(heading), *body]
    return "\n".join(f"| {' | '.join(map(_format_markdown_cell, line))} |" for line in lines)


def _format_markdown_cell(text: str) -> str:
    return text.replace("|", "\\|").replace("± ", f"±{_NO_BREAK_SPACE}")
