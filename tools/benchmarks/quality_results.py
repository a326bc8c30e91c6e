"""Table, CSV file and plot of the quality benchmark, from the records of its cells."""

from __future__ import annotations

import csv
import io
import re
import statistics
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from sagan_tf.training.health_signs import LATENT_RANK
from sagan_tf.visualization.line_chart import line_chart
from tools.benchmarks.quality_cells import DIED, FINISHED, READINGS, values_of
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
    """Draw recall and stable rank over steps, means over the runs of a setting.

    Args:
        runs: The setting and the directory of each training run.

    Returns:
        An SVG image; empty where no run was evaluated at two steps.
    """
    recall: dict[str, list[Points]] = {}
    ranks: dict[str, list[Points]] = {}
    for setting, run_dir in runs:
        records = read_records(run_dir)
        evaluations = [(one["step"], values_of(one)) for one in records if one["kind"] == "evaluation"]
        recall.setdefault(setting, []).append(
            [
                (step, value)
                for step, values in evaluations
                for name, value in values.items()
                if name.endswith("/recall")
            ]
        )
        ranks.setdefault(setting, []).append([(one["step"], one[LATENT_RANK]) for one in records if LATENT_RANK in one])
    charts = {"recall": _means(recall), "stable rank of the generator's first layer": _means(ranks)}
    if max(map(len, charts["recall"].values()), default=0) < 2:
        return ""
    drawn = [line_chart(title, curves) for title, curves in charts.items() if any(curves.values())]
    return _stack(drawn)


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


def _means(curves: Mapping[str, list[Points]]) -> dict[str, Points]:
    """Average the curves of each setting at the steps that all of them have."""
    result = {}
    for setting, several in curves.items():
        by_step = [dict(points) for points in several if points]
        steps = sorted(set.intersection(*map(set, by_step))) if by_step else []
        result[setting] = [(step, statistics.fmean(points[step] for points in by_step)) for step in steps]
    return result


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
    parts = [f"{sum(cell['status'] == FINISHED for cell in cells)} of {len(cells)}"]
    died = sum(cell["status"] == DIED for cell in cells)
    return ", ".join([*parts, *([f"{died} died"] if died else [])])
