"""Line charts as SVG elements for HTML pages."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from sagan_tf.visualization.colors import MARKER_COLORS

_WIDTH, _HEIGHT = 460, 260
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 12, 30, 24
_BASELINE = _HEIGHT - _BOTTOM
_LEGEND_LINE = 16
_NUM_TICKS = 6
_COLORS = tuple(f"rgb{MARKER_COLORS[index]}" for index in (5, 0, 3, 4, 6, 1))
"""Marker colors that are visible on white, that is all except yellow."""

Points = Sequence[tuple[float, float]]


def draw_line_chart(title: str, series: Mapping[str, Points]) -> str:
    """Draw a chart of curves over steps, with their last values in the legend.

    Args:
        title: Title above the chart.
        series: Points (step, value) of each curve by name, in order of steps. Values that are not finite are left out.

    Returns:
        An <svg> element.

    Raises:
        ValueError: No curve has a finite point.
    """
    finite = {name: [point for point in points if math.isfinite(point[1])] for name, points in series.items()}
    finite = {name: points for name, points in finite.items() if points}
    if not finite:
        raise ValueError(f"`series` must have a finite point. Received: {len(series)} curves without one")
    xs, ys = ([point[axis] for points in finite.values() for point in points] for axis in (0, 1))
    x_range, y_range = _widen_if_empty(min(xs), max(xs)), _widen_if_empty(min(ys), max(ys))
    height = _HEIGHT + _LEGEND_LINE * len(finite) + 8
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" height="{height}" '
        f'role="img" aria-label="{html.escape(title)}" font-family="system-ui, sans-serif" font-size="11">',
        f'<text x="{_LEFT}" y="16" font-size="13" font-weight="600">{html.escape(title)}</text>',
    ]
    axes = _Axes(x_range, y_range)
    parts += _draw_ticks(axes)
    for index, (name, points) in enumerate(finite.items()):
        parts += _draw_curve(axes, index, name, points)
    return "\n".join([*parts, "</svg>"])


class _Axes(NamedTuple):
    """Ranges of the two axes, which are not empty."""

    x_range: tuple[float, float]
    y_range: tuple[float, float]

    def to_x(self, value: float) -> float:
        """Convert a step to a horizontal position in pixels."""
        first, last = self.x_range
        return _LEFT + (value - first) / (last - first) * (_WIDTH - _LEFT - _RIGHT)

    def to_y(self, value: float) -> float:
        """Convert a value to a vertical position in pixels."""
        first, last = self.y_range
        return _BASELINE - (value - first) / (last - first) * (_BASELINE - _TOP)


def _draw_ticks(axes: _Axes) -> list[str]:
    parts = []
    for value in compute_ticks(*axes.y_range):
        y = axes.to_y(value)
        parts.append(f'<path d="M{_LEFT} {y:.1f}H{_WIDTH - _RIGHT}" stroke="#ddd"/>')
        parts.append(f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{value:.4g}</text>')
    for value in compute_ticks(*axes.x_range):
        x = axes.to_x(value)
        parts.append(f'<text x="{x:.1f}" y="{_BASELINE + 16}" text-anchor="middle">{value:,.10g}</text>')
    return parts


def _draw_curve(axes: _Axes, index: int, name: str, points: Points) -> list[str]:
    """Draw a curve and its line of the legend."""
    parts = []
    color, label = _COLORS[index % len(_COLORS)], html.escape(name)
    coordinates = [(f"{axes.to_x(x):.1f}", f"{axes.to_y(y):.1f}") for x, y in points]
    if len(points) == 1:
        ((x, y),) = coordinates
        parts.append(f'<circle cx="{x}" cy="{y}" r="3" fill="{color}"/>')
    line = " ".join(map(",".join, coordinates))
    parts.append(
        f'<polyline points="{line}" fill="none" stroke="{color}" stroke-width="1.6"><title>{label}</title></polyline>'
    )
    legend_y = _HEIGHT + _LEGEND_LINE * index + 10
    parts.append(f'<path d="M{_LEFT} {legend_y - 4}h18" stroke="{color}" stroke-width="3"/>')
    parts.append(f'<text x="{_LEFT + 24}" y="{legend_y}">{label}: {points[-1][1]:.4g}</text>')
    return parts


def compute_ticks(minimum: float, maximum: float) -> list[float]:
    """Compute round numbers in a range, spaced by 1, 2 or 5 times a power of ten."""
    rough = (maximum - minimum) / _NUM_TICKS
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1.0, 2.0, 5.0, 10.0) if power * factor >= rough * (1 - 1e-9))
    first = math.ceil(minimum / step - 1e-9)
    return [round(index * step, 12) + 0.0 for index in range(first, math.floor(maximum / step + 1e-9) + 1)]


def _widen_if_empty(minimum: float, maximum: float) -> tuple[float, float]:
    """Widen a range if it is empty."""
    if maximum - minimum > 1e-9 * max(abs(minimum), abs(maximum)):
        return minimum, maximum
    margin = abs(minimum) / 2 or 1.0
    return minimum - margin, maximum + margin
