"""Line charts as SVG elements for HTML pages, drawn by matplotlib."""

from __future__ import annotations

import itertools
import math
import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple

from sagan_tf.text import make_printable
from sagan_tf.visualization.colors import MARKER_COLORS
from sagan_tf.visualization.svg_figure import can_draw, draw_svg

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure
    from matplotlib.lines import Line2D

Points = Sequence[tuple[float, float]]
LineStyle = Literal["-", "--", ":"]

_WIDTH_INCHES = 4.75
_PLOT_INCHES = 2.6
"""Height of a chart without its title and its legend."""
_LINE_INCHES = 0.18
"""Height of a line of the title or of the legend."""
_MAX_LINE_LENGTH = 60
"""Characters of a line of the title or of the legend that fit into the width of a chart."""
_COLORS = tuple(f"#{bytes(MARKER_COLORS[index]).hex()}" for index in (5, 0, 3, 4, 6, 1))
"""Marker colors that are visible on white, that is all except yellow."""
_BAND_OPACITY = 0.15
LINE_STYLES: tuple[LineStyle, ...] = ("-", "--", ":")


def draw_line_chart(title: str, series: Mapping[str, Points]) -> str:
    """Draw a chart of curves over steps; see `draw_line_charts`."""
    return draw_line_charts({title: series})


def draw_line_charts(
    charts: Mapping[str, Mapping[str, Points]], deviations: Mapping[str, Mapping[str, Points]] | None = None
) -> str:
    """Draw charts of curves over steps, one below the other, with the last value of each curve in the legend.

    The result depends only on the arguments and on the version of matplotlib.

    Args:
        charts: Curves of each chart by its title, and points (step, value) of each curve by its name, in order of
            steps. A curve has a gap at a value that is not finite or beyond 1e300; a curve without any other value is
            left out. Control characters in titles and names are shown as escapes.
        deviations: Half the width of a band around curves, as points (step, deviation) by the title of the chart and
            the name of the curve. A curve without an entry, and a step without a point, has no band.

    Returns:
        An <svg> element. Its ids differ from those of charts with other titles.

    Raises:
        ValueError: A chart has no value that can be drawn.
    """
    bands = deviations or {}
    prepared = [_prepare_chart(title, series, bands.get(title, {})) for title, series in charts.items()]
    heights = [chart.compute_height() for chart in prepared]

    def draw(figure: Figure) -> None:
        parts = figure.subfigures(len(prepared), 1, squeeze=False, height_ratios=heights)
        for part, chart in zip(parts.flat, prepared, strict=True):
            _draw_chart(part, chart)

    return draw_svg("; ".join(map(make_printable, charts)), (_WIDTH_INCHES, sum(heights)), draw)


class _Chart(NamedTuple):
    """The texts of a chart, in lines that fit into its width, its curves and the deviation of each by step."""

    title: str
    labels: list[str]
    curves: list[Points]
    bands: list[dict[float, float]]

    def compute_height(self) -> float:
        """Compute the height in inches."""
        num_lines = sum(text.count("\n") + 1 for text in (self.title, *self.labels))
        return _PLOT_INCHES + _LINE_INCHES * num_lines


def _prepare_chart(title: str, series: Mapping[str, Points], deviations: Mapping[str, Points]) -> _Chart:
    """Lay out the texts of a chart, and leave out curves without a value that can be drawn."""
    labels, curves, bands = [], [], []
    for name, points in series.items():
        drawn = [value for _, value in points if can_draw(value)]
        if drawn:
            labels.append(textwrap.fill(f"{make_printable(name)}: {drawn[-1]:.4g}", _MAX_LINE_LENGTH))
            curves.append(points)
            bands.append(dict(deviations.get(name, ())))
    if not curves:
        raise ValueError(f"`series` must have a value that can be drawn. Received: {len(series)} curves without one")
    return _Chart(textwrap.fill(make_printable(title), _MAX_LINE_LENGTH), labels, curves, bands)


def _draw_chart(figure: SubFigure, chart: _Chart) -> None:
    """Draw a chart, with its legend below the axes."""
    axes = figure.subplots()
    format_steps(axes)
    styles = itertools.cycle(itertools.product(LINE_STYLES, _COLORS))
    lines = []
    for points, band, style in zip(chart.curves, chart.bands, styles, strict=False):
        draw_band(axes, points, band, style[1])
        lines.append(draw_curve(axes, points, *style))
    title = figure.suptitle(chart.title, x=0.01, horizontalalignment="left")
    legend = figure.legend(lines, chart.labels, loc="outside lower left")
    for text in (title, *legend.get_texts()):
        text.set_parse_math(False)  # matplotlib would read text between dollar signs as a formula.


def format_steps(axes: Axes, *, max_intervals: int = 5) -> None:
    """Label the horizontal axis with steps, at the ends of at most `max_intervals` intervals."""
    from matplotlib.ticker import MaxNLocator, StrMethodFormatter

    axes.set_xlabel("step")
    axes.margins(x=0.02)
    axes.xaxis.set_major_locator(MaxNLocator(max_intervals, integer=True, min_n_ticks=1))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))


def draw_curve(axes: Axes, points: Points, line_style: LineStyle, color: str) -> Line2D:
    """Draw a curve, with a marker at each point between two gaps, where there is no line."""
    values = [value if can_draw(value) else math.nan for _, value in points]
    known = [False, *map(math.isfinite, values), False]
    alone = [here and not (before or after) for before, here, after in zip(known, known[1:], known[2:], strict=False)]
    marker = "o" if any(alone) else ""
    steps = [step for step, _ in points]
    (line,) = axes.plot(steps, values, linestyle=line_style, color=color, marker=marker, markevery=alone)
    return line


def draw_band(axes: Axes, points: Points, deviations: Mapping[float, float], color: str) -> None:
    """Fill the area of one deviation above and below a curve, between steps that both have one."""
    if not deviations:
        return
    halves = [deviations.get(step, math.nan) if can_draw(value) else math.nan for step, value in points]
    low, high = ([value + sign * half for (_, value), half in zip(points, halves, strict=True)] for sign in (-1, 1))
    axes.fill_between([step for step, _ in points], low, high, color=color, alpha=_BAND_OPACITY, linewidth=0)
