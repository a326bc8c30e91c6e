"""Table, CSV file and plot of the quality benchmark, from the records of its cells."""

from __future__ import annotations

import csv
import io
import re
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from sagan_tf.training.health.signs import LATENT_RANK, OVERFITTING
from sagan_tf.visualization.line_chart import line_chart
from tools.benchmarks.quality_records import FAILED, FINISHED, READINGS, UNHEALTHY, values_of
from tools.benchmarks.training_time import read_records

Record = Mapping[str, Any]
Points = list[tuple[float, float]]

HEADINGS = {
    "label_agreement": "agreement",
    "class_agreement/worst": "worst class",
    "precision_recall/precision": "precision",
    "precision_recall/recall": "recall",
    "density_coverage/density": "density",
    "density_coverage/coverage": "coverage",
}
"""Short headings of metrics without their number of images; others are their own."""
_LEFT_OUT = ("class_agreement/mean",)
_RANK_TITLE = "stable rank of the generator's first layer"
_COUNTS = ("images_seen", "training_seconds", "cpu_seconds")


def table(records: Sequence[Record]) -> list[list[str]]:
    """Make a row for each setting: mean and standard deviation of each figure over the cells that have finished."""
    names = list(dict.fromkeys(name for record in records for name in record.get("values", {})))
    names = [name for name in names if _without_number(name) not in _LEFT_OUT]
    headings = [HEADINGS.get(_without_number(name), _without_number(name)) for name in names]
    readings = [name for name in READINGS if any(record.get(name) is not None for record in records)]
    headings += [READINGS[name].heading for name in readings]
    result = [["setting", *headings, "images seen", "seconds", "CPU seconds", "runs"]]
    for setting, cells in _by_setting(records).items():
        finished = [record for record in cells if record["status"] == FINISHED]
        row = [setting, *(_mean([record["values"].get(name) for record in finished], ".3f") for name in names)]
        row += [_mean([record.get(name) for record in finished], READINGS[name].form) for name in readings]
        row += [_mean([record[name] for record in finished], ",.0f") for name in _COUNTS]
        result.append([*row, _count(cells)])
    return result


def to_csv(records: Sequence[Record]) -> str:
    """Write a line for each cell, whether it has finished or not."""
    names = list(dict.fromkeys(name for record in records for name in record.get("values", {})))
    columns = ["setting", "seed", "status", "step", *_COUNTS, *READINGS, "worst_class", "message"]
    output = io.StringIO()
    writer = csv.writer(output, lineterminator="\n")
    writer.writerow([*columns, *names])
    for record in records:
        values = record.get("values", {})
        writer.writerow([*(record.get(name, "") for name in columns), *(values.get(name, "") for name in names)])
    return output.getvalue()


def plot(runs: Iterable[tuple[str, Path]]) -> str:
    """Draw recall, stable rank and overfitting over steps, means over the runs of a setting.

    Args:
        runs: The setting and the directory of each training run.

    Returns:
        An SVG image, with a chart of what was read at two steps or more; empty if only the stable rank was.
    """
    several = [(setting, read_records(run_dir)) for setting, run_dir in runs]
    charts = {
        "recall": _curves(several, _recall),
        _RANK_TITLE: _curves(several, lambda line: line.get(LATENT_RANK)),
        "overfitting of the discriminator": _curves(several, lambda line: line.get(OVERFITTING)),
    }
    drawn = {title: curves for title, curves in charts.items() if max(map(len, curves.values()), default=0) > 1}
    if not drawn.keys() - {_RANK_TITLE}:
        return ""
    return _stack([line_chart(title, curves) for title, curves in drawn.items()])


def _recall(line: Mapping[str, Any]) -> float | None:
    """Return the recall in a line of `metrics.jsonl`; None if it has none."""
    values = values_of(line) if line["kind"] == "evaluation" else {}
    return next((value for name, value in values.items() if name.endswith("/recall")), None)


def _curves(
    several: Iterable[tuple[str, list[dict[str, Any]]]], read: Callable[[Mapping[str, Any]], float | None]
) -> dict[str, Points]:
    """Average what is read from the lines of the runs of each setting, at the steps that all of them have."""
    curves: dict[str, list[dict[float, float]]] = {}
    for setting, lines in several:
        values = {line["step"]: value for line in lines if (value := read(line)) is not None}
        curves.setdefault(setting, []).extend([values] if values else [])
    return {setting: _mean_curve(by_step) for setting, by_step in curves.items()}


def _mean_curve(by_step: Sequence[Mapping[float, float]]) -> Points:
    steps = sorted(set.intersection(*map(set, by_step))) if by_step else []
    return [(step, statistics.fmean(values[step] for values in by_step)) for step in steps]


def _stack(charts: Sequence[str]) -> str:
    """Put SVG images one below the other."""
    sizes = [[int(size) for size in re.findall(r' (?:width|height)="(\d+)"', chart)[:2]] for chart in charts]
    parts, top = [], 0
    for chart, (_, height) in zip(charts, sizes, strict=True):
        parts.append(chart.replace("<svg ", f'<svg y="{top}" ', 1))
        top += height
    width = max(width for width, _ in sizes)
    body = "\n".join(parts)
    return f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{top}">\n{body}\n</svg>\n'


def _by_setting(records: Sequence[Record]) -> dict[str, list[Record]]:
    cells: dict[str, list[Record]] = {}
    for record in records:
        cells.setdefault(record["setting"], []).append(record)
    return cells


def _without_number(name: str) -> str:
    family, slash, part = name.partition("/")
    return re.sub(r"\d+k$", "", family) + slash + part


def _mean(values: Sequence[float | None], form: str) -> str:
    known = [value for value in values if value is not None]
    if not known:
        return "-"
    mean = format(statistics.fmean(known), form)
    return f"{mean} ± {statistics.stdev(known):{form}}" if len(known) > 1 else mean


def _count(cells: Sequence[Record]) -> str:
    """Say how many of the cells have finished and, where there are any, how many are unhealthy or have failed."""
    counts = {state: sum(cell["status"] == state for cell in cells) for state in (FINISHED, UNHEALTHY, FAILED)}
    others = [f"{counts[state]} {state}" for state in (UNHEALTHY, FAILED) if counts[state]]
    return ", ".join([f"{counts[FINISHED]} of {len(cells)}", *others])
