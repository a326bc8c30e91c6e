"""Table, CSV file and charts of `tools/benchmark.py quality`, from the records of its cells."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from sagan_tf.runs.evaluation_protocol import select_training_evaluations
from sagan_tf.training.health.signs import LATENT_RANK, OVERFITTING
from sagan_tf.visualization.line_chart import draw_line_charts
from tools.comparisons.metric_headings import get_heading, list_metrics
from tools.comparisons.records import FINISHED, READINGS, flatten_metrics
from tools.comparisons.run_files import read_run_records
from tools.comparisons.summaries import (
    Points,
    average_curve,
    format_counts,
    format_csv_rows,
    format_mean,
    group_by_setting,
)

Record = Mapping[str, Any]

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
