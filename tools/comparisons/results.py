"""Table, CSV file and charts of a comparison, from the records of its cells."""

from __future__ import annotations

import csv
import io
import math
import re
import statistics
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from sagan_tf.runs.evaluation_protocol import select_training_evaluations
from sagan_tf.training.health.signs import LATENT_RANK, OVERFITTING
from sagan_tf.visualization.line_chart import draw_line_charts
from tools.comparisons.records import (
    FAILED,
    FINISHED,
    NOT_STARTED,
    READINGS,
    RUNNING,
    UNFINISHED,
    UNHEALTHY,
    flatten_metrics,
    read_run_records,
)

Record = Mapping[str, Any]
Points = list[tuple[float, float]]
T = TypeVar("T")

HEADINGS = {
    "label_agreement": "agreement",
    "class_agreement/worst": "worst class",
    "precision_recall/precision": "precision",
    "precision_recall/recall": "recall",
    "density_coverage/density": "density",
    "density_coverage/coverage": "coverage",
}
"""Headings of metrics, by the metric's name without its number of images; a metric without an entry has its own name
as its heading."""
OMITTED_METRICS = ("class_agreement/mean",)
"""Metrics that tables leave out."""
_RANK_TITLE = "stable rank of the generator's first layer"
_COUNTS = ("images_seen", "training_seconds", "cpu_seconds")


def format_rows(records: Sequence[Record]) -> list[list[str]]:
    """Return a heading, and a row for each setting.

    A row has the mean and the standard deviation of each figure over the finished cells.
    """
    names = list_metrics(record.get("values", {}) for record in records)
    headings = [get_heading(name) for name in names]
    readings = [name for name in READINGS if any(record.get(name) is not None for record in records)]
    headings += [READINGS[name].heading for name in readings]
    result = [["setting", *headings, "images seen", "seconds", "CPU seconds", "runs"]]
    for setting, cells in group_by_setting(records, lambda record: record["setting"]).items():
        finished = [record for record in cells if record["status"] == FINISHED]
        row = [setting, *(format_mean([record["values"].get(name) for record in finished], ".3f") for name in names)]
        row += [format_mean([record.get(name) for record in finished], READINGS[name].format_spec) for name in readings]
        row += [format_mean([record[name] for record in finished], ",.0f") for name in _COUNTS]
        result.append([*row, format_counts([cell["status"] for cell in cells])])
    return result


def format_csv(records: Sequence[Record]) -> str:
    """Format a line for each cell, whether it has finished or not."""
    names = list(dict.fromkeys(name for record in records for name in record.get("values", {})))
    columns = ["setting", "seed", "status", "step", *_COUNTS, *READINGS, "worst_class", "message"]
    rows = [[*columns, *names]]
    for record in records:
        values = record.get("values", {})
        rows.append([*(record.get(name, "") for name in columns), *(values.get(name, "") for name in names)])
    return format_csv_rows(rows)


def format_csv_rows(rows: Iterable[Sequence[Any]]) -> str:
    """Format rows as the text of a CSV file."""
    output = io.StringIO()
    csv.writer(output, lineterminator="\n").writerows(rows)
    return output.getvalue()


def draw_charts(runs: Iterable[tuple[str, Path]]) -> str:
    """Draw recall, stable rank and overfitting by step, as means over the runs.

    Args:
        runs: The setting and the directory of each training run.

    Returns:
        An SVG image, with a chart of each quantity that is known at two steps or more; empty if only the stable rank
        is known.
    """
    recorded = [(setting, read_run_records(run_dir)) for setting, run_dir in runs]
    evaluated = [(setting, select_training_evaluations(lines)) for setting, lines in recorded]
    charts = {
        "recall": _average_curves(evaluated, _find_recall),
        _RANK_TITLE: _average_curves(recorded, lambda line: line.get(LATENT_RANK)),
        "overfitting of the discriminator": _average_curves(recorded, lambda line: line.get(OVERFITTING)),
    }
    drawn = {title: curves for title, curves in charts.items() if max(map(len, curves.values()), default=0) > 1}
    if not drawn.keys() - {_RANK_TITLE}:
        return ""
    return draw_line_charts(drawn)


def _find_recall(line: Mapping[str, Any]) -> float | None:
    """Return the recall in an evaluation of `metrics.jsonl`, or None."""
    return next((value for name, value in flatten_metrics(line).items() if name.endswith("/recall")), None)


def _average_curves(
    recorded: Iterable[tuple[str, Sequence[Mapping[str, Any]]]], read: Callable[[Mapping[str, Any]], float | None]
) -> dict[str, Points]:
    """Average a quantity over the runs of each setting, at the steps that all have.

    Args:
        recorded: The setting and lines of `metrics.jsonl` of each run.
        read: Returns the quantity in a line, or None.

    Returns:
        Pairs of step and mean, by setting.
    """
    curves: dict[str, list[dict[float, float]]] = {}
    for setting, lines in recorded:
        values = {line["step"]: value for line in lines if (value := read(line)) is not None}
        curves.setdefault(setting, []).extend([values] if values else [])
    return {setting: average_curve(by_run)[0] for setting, by_run in curves.items()}


def average_curve(by_run: Sequence[Mapping[float, float]]) -> tuple[Points, Points]:
    """Return the mean and the standard deviation over runs at the steps at which all of them have a finite value.

    A mean over only the runs that remain would become better whenever a bad run ends.

    Args:
        by_run: The values of each run by step.

    Returns:
        Pairs of step and mean, and pairs of step and standard deviation. There are no deviations of a single run.
    """
    finite = [{step: value for step, value in values.items() if math.isfinite(value)} for values in by_run]
    steps = sorted(set.intersection(*map(set, finite))) if finite else []
    values = {step: [run[step] for run in finite] for step in steps}
    means = [(step, statistics.fmean(values[step])) for step in steps]
    return means, [(step, statistics.stdev(values[step])) for step in steps] if len(finite) > 1 else []


def group_by_setting(cells: Iterable[T], get_setting: Callable[[T], str]) -> dict[str, list[T]]:
    """Return the cells of each setting, in the order of the first cell of each.

    Args:
        cells: Cells, or what describes them.
        get_setting: Returns the name of the setting of a cell.
    """
    groups: dict[str, list[T]] = {}
    for cell in cells:
        groups.setdefault(get_setting(cell), []).append(cell)
    return groups


def list_metrics(evaluations: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return the names of the metrics that a table shows, in the order of the evaluations."""
    names = dict.fromkeys(name for values in evaluations for name in values)
    return [name for name in names if remove_sample_count(name) not in OMITTED_METRICS]


def get_heading(metric: str) -> str:
    """Return the short name of a metric."""
    family = remove_sample_count(metric)
    return HEADINGS.get(family, family)


def remove_sample_count(name: str) -> str:
    """Return the name of a metric without its number of images: `fcd` for `fcd10k`."""
    family, slash, part = name.partition("/")
    return re.sub(r"\d+k$", "", family) + slash + part


def format_mean(values: Sequence[float | None], spec: str) -> str:
    """Format the mean and the standard deviation of the values that are known, and their number if some are not.

    NaN, infinite and missing values are not known. Without a known value, the result is `-`.
    """
    known = [value for value in values if value is not None and math.isfinite(value)]
    if not known:
        return "-"
    mean = format(statistics.fmean(known), spec)
    mean = f"{mean} ± {statistics.stdev(known):{spec}}" if len(known) > 1 else mean
    return mean if len(known) == len(values) else f"{mean} (n={len(known)})"


def format_counts(statuses: Sequence[str], omitted: Collection[str] = ()) -> str:
    """Format how many cells have finished, and how many have each other status that is not omitted."""
    parts = [f"{statuses.count(FINISHED)} of {len(statuses)}"]
    for status in (UNHEALTHY, FAILED, RUNNING, UNFINISHED, NOT_STARTED):
        parts += [f"{statuses.count(status)} {status}"] if status in statuses and status not in omitted else []
    return ", ".join(parts)
