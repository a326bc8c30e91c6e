"""Charts with a row for each group and a dot for each of its values, as SVG elements, drawn by matplotlib."""

from __future__ import annotations

import dataclasses
import statistics
import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from sagan_tf.text import make_printable
from sagan_tf.visualization.svg_figure import can_draw, draw_svg, set_logarithmic_ticks

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_WIDTH_INCHES = 9.0
_ROW_INCHES = 0.32
_LABEL_LINE_INCHES = 0.16
_TITLE_LINE_INCHES = 0.18
_AXIS_INCHES = 0.57
_MAX_LABEL_LENGTH = 34
_MAX_TITLE_LENGTH = 26
"""Characters of a line of a label, and of the title of a panel, that fit into the width of a chart of three panels."""
_SPREAD_ROWS = 0.6
"""Part of the height of a row over which its dots are spread, so that equal values do not hide each other."""
_DOT_POINTS = 5.0
_MEAN_POINTS, _MEAN_WIDTH_POINTS = 13.0, 1.5
_MAX_INTERVALS = 3


class Dot(NamedTuple):
    """A value of a group.

    Attributes:
        value: The value. One that is not finite or is beyond 1e300 is not drawn.
        is_hollow: Whether the dot is hollow.
    """

    value: float
    is_hollow: bool = False


@dataclasses.dataclass(frozen=True)
class DotPanel:
    """A panel of a dot chart.

    Attributes:
        title: Its title.
        x_label: Label of the horizontal axis.
        dots: Dots by the name of their group.
        is_logarithmic: Whether the horizontal axis is logarithmic. It is linear if a value is 0 or less.
    """

    title: str
    x_label: str
    dots: Mapping[str, Sequence[Dot]]
    is_logarithmic: bool = False


def draw_dot_panels(
    title: str, panels: Sequence[DotPanel], labels: Mapping[str, str], colors: Mapping[str, str]
) -> str:
    """Draw panels side by side, with a dot for each value.

    All panels have the same rows, one for each group. A bar is at the mean of a group whose values are all drawn: a
    mean without failed runs would be too good.

    Args:
        title: Title in the metadata. The ids of charts with different titles differ.
        panels: The panels. Those without a value that can be drawn are left out.
        labels: Label of the row of each group, from top to bottom. Groups without a label are not drawn.
        colors: Color of each group that has a label.

    Returns:
        An <svg> element; empty without any panel.
    """
    drawn = [panel for panel in panels if _list_values(panel, labels)]
    if not drawn:
        return ""
    titles = [textwrap.fill(make_printable(panel.title), _MAX_TITLE_LENGTH) for panel in drawn]
    rows = [textwrap.fill(make_printable(label), _MAX_LABEL_LENGTH) for label in labels.values()]
    row_inches = max(_ROW_INCHES, _LABEL_LINE_INCHES * max(map(_count_lines, rows)))
    title_inches = _TITLE_LINE_INCHES * max(map(_count_lines, titles))

    def draw(figure: Figure) -> None:
        columns = figure.subplots(1, len(drawn), sharey=True, squeeze=False).flat
        for axes, panel, text in zip(columns, drawn, titles, strict=True):
            axes.set_title(text, parse_math=False)
            _draw_panel(axes, panel, list(labels), colors)
        first = figure.axes[0]
        first.set_yticks(range(len(rows)), rows)
        first.set_ylim(len(rows) - 0.5, -0.5)
        for label in first.get_yticklabels():
            label.set_parse_math(False)

    return draw_svg(title, (_WIDTH_INCHES, title_inches + row_inches * len(rows) + _AXIS_INCHES), draw)


def _list_values(panel: DotPanel, groups: Mapping[str, str]) -> list[float]:
    """List the values of groups that can be drawn."""
    return [dot.value for name in groups for dot in panel.dots.get(name, ()) if can_draw(dot.value)]


def _count_lines(text: str) -> int:
    return text.count("\n") + 1


def _draw_panel(axes: Axes, panel: DotPanel, groups: Sequence[str], colors: Mapping[str, str]) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.set_xlabel(panel.x_label)
    for row, name in enumerate(groups):
        _draw_row(axes, row, panel.dots.get(name, ()), colors[name])
    values = _list_values(panel, dict.fromkeys(groups, ""))
    if panel.is_logarithmic and min(values) > 0.0:
        axes.set_xscale("log")
        set_logarithmic_ticks(axes.xaxis, min(values), max(values), max_intervals=_MAX_INTERVALS)
    else:
        axes.xaxis.set_major_locator(MaxNLocator(_MAX_INTERVALS))


def _draw_row(axes: Axes, row: int, dots: Sequence[Dot], color: str) -> None:
    """Draw the dots of a group one below the other, in their order, and a bar at their mean."""
    drawn = [
        (dot, row + _SPREAD_ROWS * ((index + 0.5) / len(dots) - 0.5))
        for index, dot in enumerate(dots)
        if can_draw(dot.value)
    ]
    for is_hollow in (False, True):
        points = [(dot.value, y) for dot, y in drawn if dot.is_hollow == is_hollow]
        if points:
            fill = "none" if is_hollow else color
            axes.plot(*zip(*points, strict=True), "o", color=color, markerfacecolor=fill, markersize=_DOT_POINTS)
    if drawn and len(drawn) == len(dots):
        mean = statistics.fmean(dot.value for dot in dots)
        axes.plot(mean, row, "|", color="black", markersize=_MEAN_POINTS, markeredgewidth=_MEAN_WIDTH_POINTS)
