"""Curves as SVG, to stand in a page."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence

from sagan_tf.visualization.colors import MARKS

_WIDTH, _HEIGHT = 460, 260
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 12, 30, 24
_LEGEND_LINE = 16
_TICKS = 6
_COLOURS = tuple(f"rgb{MARKS[index]}" for index in (5, 0, 3, 4, 6, 1))
"""Those that are seen on white: all but yellow."""

Points = Sequence[tuple[float, float]]


def line_chart(title: str, series: Mapping[str, Points]) -> str:
    """Return a chart of some curves over steps, with their last values in the legend.

    Args:
        title: above it.
        series: by name, each its (step, value) in order of the steps; values that are not finite are left out.

    Returns:
        An <svg> element.

    Raises:
        ValueError: no curve has a point.
    """
    finite = {name: [point for point in points if math.isfinite(point[1])] for name, points in series.items()}
    finite = {name: points for name, points in finite.items() if points}
    if not finite:
        raise ValueError(f"`series` must have a finite point. Received: {len(series)} curves without any")
    xs, ys = ([point[axis] for points in finite.values() for point in points] for axis in (0, 1))
    x_range, y_range = _widened(min(xs), max(xs)), _widened(min(ys), max(ys))
    bottom = _HEIGHT - _BOTTOM

    def x_of(value: float) -> float:
        return _LEFT + (value - x_range[0]) / (x_range[1] - x_range[0]) * (_WIDTH - _LEFT - _RIGHT)

    def y_of(value: float) -> float:
        return bottom - (value - y_range[0]) / (y_range[1] - y_range[0]) * (bottom - _TOP)

    height = _HEIGHT + _LEGEND_LINE * len(finite) + 8
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" height="{height}" '
        f'role="img" aria-label="{html.escape(title)}" font-family="system-ui, sans-serif" font-size="11">',
        f'<text x="{_LEFT}" y="16" font-size="13" font-weight="600">{html.escape(title)}</text>',
    ]
    for value in ticks(*y_range):
        parts.append(f'<path d="M{_LEFT} {y_of(value):.1f}H{_WIDTH - _RIGHT}" stroke="#ddd"/>')
        parts.append(f'<text x="{_LEFT - 6}" y="{y_of(value) + 4:.1f}" text-anchor="end">{value:.4g}</text>')
    for value in ticks(*x_range):
        parts.append(f'<text x="{x_of(value):.1f}" y="{bottom + 16}" text-anchor="middle">{value:,.10g}</text>')
    for index, (name, points) in enumerate(finite.items()):
        colour, label = _COLOURS[index % len(_COLOURS)], html.escape(name)
        places = " ".join(f"{x_of(x):.1f},{y_of(y):.1f}" for x, y in points)
        if len(points) == 1:
            parts.append(f'<circle cx="{x_of(points[0][0]):.1f}" cy="{y_of(points[0][1]):.1f}" r="3" fill="{colour}"/>')
        line = f'<polyline points="{places}" fill="none" stroke="{colour}" stroke-width="1.6">'
        parts.append(f"{line}<title>{label}</title></polyline>")
        y = _HEIGHT + _LEGEND_LINE * index + 10
        parts.append(f'<path d="M{_LEFT} {y - 4}h18" stroke="{colour}" stroke-width="3"/>')
        parts.append(f'<text x="{_LEFT + 24}" y="{y}">{label}: {points[-1][1]:.4g}</text>')
    return "\n".join([*parts, "</svg>"])


def ticks(least: float, most: float) -> list[float]:
    """Return a few round numbers between two others, 1, 2 or 5 times a power of ten apart."""
    rough = (most - least) / _TICKS
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1.0, 2.0, 5.0, 10.0) if power * factor >= rough * (1 - 1e-9))
    first = math.ceil(least / step - 1e-9)
    return [round(index * step, 12) + 0.0 for index in range(first, math.floor(most / step + 1e-9) + 1)]


def _widened(least: float, most: float) -> tuple[float, float]:
    """Return a range that is not empty."""
    if most - least > 1e-9 * max(abs(least), abs(most)):
        return least, most
    margin = abs(least) / 2 or 1.0
    return least - margin, most + margin
