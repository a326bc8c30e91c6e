"""Charts of several panels that share one legend, as SVG elements, drawn by matplotlib."""

from __future__ import annotations

import dataclasses
import itertools
import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from sagan_tf.text import make_printable
from sagan_tf.visualization.colors import LINE_COLORS
from sagan_tf.visualization.line_chart import LINE_STYLES, LineStyle, Points, draw_band, draw_curve, format_steps
from sagan_tf.visualization.svg_figure import can_draw, draw_svg, set_logarithmic_ticks

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_WIDTH_INCHES = 9.0
_LARGE_INCHES = 3.6
_SMALL_INCHES = 2.3
_LEGEND_LINE_INCHES = 0.2
_LEGEND_CHARACTERS = 120
"""Characters of a line of the legend that fit into the width of a chart."""
_LEGEND_HANDLE_CHARACTERS = 8
"""Width of the line beside a name in the legend, with the space around it."""
_MAX_NAME_LENGTH = 60
_MAX_TITLE_LENGTH = 36
"""Characters of a line of the title that fit into the width of a small panel."""
_MAX_LARGE_GRID = 4
"""Small panels up to which two, and not three, stand in a row."""
_FONT_SIZE = 9.0
_PAD_INCHES = 0.08
_RUN_LINE_WIDTH, _MEAN_LINE_WIDTH = 0.7, 1.6
"""Widths in points. The thin lines are opaque, because their colors have little more than the contrast that is needed
on white."""
_END_SIZE = 6.0
_AXIS_MARGIN = 1.1
"""Ratio of an end of a logarithmic axis to the last value before it."""

Style = tuple[LineStyle, str]
"""Line style and color of a curve."""


@dataclasses.dataclass(frozen=True)
class Panel:
    """A panel of a chart.

    Attributes:
        title: Its title.
        y_label: Label of the vertical axis.
        curves: Points (step, value) of each curve by its name, in order of steps, as in `draw_line_charts`.
        deviations: Half the width of a band around a curve, as points (step, deviation) by the name of the curve.
        is_logarithmic: Whether the vertical axis is logarithmic. It is linear if a value is 0 or less.
        runs: Points of the thin lines that belong to a curve, by its name, which need not have a curve.
        ends: Points of a thin line that are marked by a cross, by the name of the curve.
    """

    title: str
    y_label: str
    curves: Mapping[str, Points]
    deviations: Mapping[str, Points] = dataclasses.field(default_factory=dict)
    is_logarithmic: bool = False
    runs: Mapping[str, Sequence[Points]] = dataclasses.field(default_factory=dict)
    ends: Mapping[str, Points] = dataclasses.field(default_factory=dict)

    def find_values(self) -> dict[str, list[float]]:
        """Find the values that can be drawn of each curve that has some, with those of its thin lines."""
        values = {
            name: [value for points in (self.curves.get(name, ()), *self.runs.get(name, ())) for _, value in points]
            for name in {**self.curves, **self.runs}
        }
        drawn = {name: [value for value in found if can_draw(value)] for name, found in values.items()}
        return {name: kept for name, kept in drawn.items() if kept}


def draw_panels(panels: Sequence[Panel], *, has_large_panel: bool, styles: Mapping[str, Style] | None = None) -> str:
    """Draw panels in rows of two or three, with the names of all curves in one legend below them.

    A name has the same color and line style in all panels.

    Args:
        panels: The panels. Those without a value that can be drawn are left out.
        has_large_panel: Whether the first panel is larger and stands above the others. If it has no values, no panel
            is larger.
        styles: Line style and color of each name. By default, the colors differ, and with more names than colors the
            line style differs too.

    Returns:
        An <svg> element; empty without any panel.
    """
    drawn = [panel for panel in panels if panel.find_values()]
    if not drawn:
        return ""
    names = list(dict.fromkeys(name for panel in drawn for name in panel.find_values()))
    styles = assign_styles(names) if styles is None else {name: styles[name] for name in names}
    large, small = (drawn[:1], drawn[1:]) if has_large_panel and drawn[0] is panels[0] else ([], drawn)
    num_columns = 2 if len(small) <= _MAX_LARGE_GRID else 3
    rows = [large] * bool(large) + [small[start : start + num_columns] for start in range(0, len(small), num_columns)]
    heights = [_LARGE_INCHES if row is large else _SMALL_INCHES for row in rows]
    columns = [1 if row is large else num_columns for row in rows]
    legend_columns, labels = _lay_out_legend(names)
    lines_of_legend = sum(
        max(label.count("\n") + 1 for label in labels[start : start + legend_columns])
        for start in range(0, len(labels), legend_columns)
    )

    def draw(figure: Figure) -> None:
        figure.set_layout_engine("constrained", h_pad=_PAD_INCHES, w_pad=_PAD_INCHES)
        parts = figure.subfigures(len(rows), 1, squeeze=False, height_ratios=heights)
        for part, row, count in zip(parts.flat, rows, columns, strict=True):
            places = list(part.subplots(1, count, squeeze=False).flat)
            for axes, panel in zip(places, row, strict=False):
                _draw_panel(axes, panel, styles)
                format_steps(axes, max_intervals=5 if count == 1 else 3)
            for axes in places[len(row) :]:
                axes.set_axis_off()
        _draw_legend(figure, labels, list(styles.values()), legend_columns)

    title = "; ".join(make_printable(panel.title) for panel in drawn)
    return draw_svg(title, (_WIDTH_INCHES, sum(heights) + _LEGEND_LINE_INCHES * lines_of_legend), draw)


def assign_styles(names: Sequence[str]) -> dict[str, Style]:
    """Assign a color to each name; with more names than colors, the line style differs too."""
    return dict(zip(names, itertools.cycle(itertools.product(LINE_STYLES, LINE_COLORS)), strict=False))


def _lay_out_legend(names: Sequence[str]) -> tuple[int, list[str]]:
    """Return the number of columns of the legend, and the names in lines that fit into them."""
    labels = [textwrap.fill(make_printable(name), _MAX_NAME_LENGTH) for name in names]
    longest = max(len(line) for label in labels for line in label.splitlines())
    return min(len(labels), max(1, _LEGEND_CHARACTERS // (longest + _LEGEND_HANDLE_CHARACTERS))), labels


def _draw_legend(figure: Figure, labels: Sequence[str], styles: Sequence[Style], num_columns: int) -> None:
    from matplotlib.lines import Line2D

    lines = [
        Line2D([], [], linestyle=line_style, color=color, linewidth=_MEAN_LINE_WIDTH) for line_style, color in styles
    ]
    legend = figure.legend(lines, labels, loc="outside lower center", ncols=num_columns, fontsize=_FONT_SIZE)
    for text in legend.get_texts():
        text.set_parse_math(False)


def _draw_panel(axes: Axes, panel: Panel, styles: Mapping[str, Style]) -> None:
    for name in panel.find_values():
        line_style, color = styles[name]
        for points in panel.runs.get(name, ()):
            draw_curve(axes, points, line_style, color).set(linewidth=_RUN_LINE_WIDTH)
        if curve := panel.curves.get(name):
            draw_band(axes, curve, dict(panel.deviations.get(name, ())), color)
            draw_curve(axes, curve, line_style, color).set(linewidth=_MEAN_LINE_WIDTH)
        for step, value in panel.ends.get(name, ()):
            if can_draw(value):
                axes.plot(step, value, marker="x", color=color, markersize=_END_SIZE)
    axes.set_ylabel(panel.y_label)
    axes.set_title(textwrap.fill(make_printable(panel.title), _MAX_TITLE_LENGTH), parse_math=False)
    if panel.is_logarithmic and all(value > 0 for values in panel.find_values().values() for value in values):
        _make_logarithmic(axes, panel)


def _make_logarithmic(axes: Axes, panel: Panel) -> None:
    """Make the vertical axis of a panel logarithmic.

    It shows at most the half of a mean that is below it, because a band may reach to 0.
    """
    values = []
    for name in panel.find_values():
        halves = dict(panel.deviations.get(name, ()))
        values += [(value, halves.get(step, 0.0)) for step, value in panel.curves.get(name, ())]
        values += [(value, 0.0) for points in panel.runs.get(name, ()) for _, value in points]
    drawn = [(value, half) for value, half in values if can_draw(value)]
    low = min(max(value - half, value / 2.0) for value, half in drawn)
    high = max(value + half for value, half in drawn)
    axes.set_yscale("log")
    axes.set_ylim(low / _AXIS_MARGIN, high * _AXIS_MARGIN)
    set_logarithmic_ticks(axes.yaxis, low, high)
