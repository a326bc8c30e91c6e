"""Charts of the report: the metrics that training logged, by step."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from sagan_tf.visualization.charts import CHARTS
from sagan_tf.visualization.line_chart import Points, draw_line_chart
from sagan_tf.visualization.svg_figure import can_draw

Lines = Sequence[Mapping[str, Any]]

_MAX_CURVES = 8
"""Curves in one chart. If there are more, only the largest and the smallest value are drawn."""


def draw_charts(lines: Lines) -> list[str]:
    """Draw the charts of `CHARTS` for which training logged values that can be drawn.

    Args:
        lines: Lines of `metrics.jsonl`.

    Returns:
        An <svg> element for each chart.
    """
    charts = []
    newest = {line.get("kind"): line for line in lines}
    logged = [name for line in newest.values() for name in line]
    for title, patterns in (chart for category in CHARTS.values() for chart in category.items()):
        names = [name for name in logged if any(re.fullmatch(pattern, name) for pattern in patterns)]
        series = {name: _collect_points(lines, name) for name in names}
        if len(names) > _MAX_CURVES:
            series = _find_extremes(series)
        if any(can_draw(value) for points in series.values() for _, value in points):
            charts.append(draw_line_chart(title, series))
    return charts


def _collect_points(lines: Lines, name: str) -> Points:
    """Collect the values of a metric; NaN at a step for which the log has no number."""
    return [
        (line["step"], line[name] if isinstance(line[name], int | float) else math.nan)
        for line in lines
        if name in line
    ]


def _find_extremes(series: Mapping[str, Points]) -> dict[str, Points]:
    """Find the largest and the smallest value at each step."""
    values: dict[float, list[float]] = {}
    for points in series.values():
        for step, value in points:
            values.setdefault(step, []).extend([value] if can_draw(value) else [])
    return {
        f"{word} of {len(series)}": [(step, pick(values[step], default=math.nan)) for step in sorted(values)]
        for word, pick in (("largest", max), ("smallest", min))
    }
