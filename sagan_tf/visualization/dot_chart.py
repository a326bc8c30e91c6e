"""Charts with a row for each group and a dot for each of its values, as SVG elements, drawn by matplotlib."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from sagan_tf.text import make_printable
from sagan_tf.visualization.line_chart import can_draw, draw_svg, set_logarithmic_ticks

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_WIDTH_INCHES = 9.0
_ROW_INCHES = 0.32
_OTHER_INCHES = 0.75
"""Height of the titles and of the horizontal axes."""
_SPREAD = 0.6
"""Part of the height of a row over which its dots are spread, so that equal values do not hide each other."""
_DOT_SIZE = 5.0
_MEAN_SIZE = 13.0
_MARGIN = 0.05
_MAX_INTERVALS = 4


@dataclasses.dataclass(frozen=True)
class DotPanel:
    """A panel of a chart.

    Attributes:
        title: Its title.
        x_label: Label of the horizontal axis.
        values: Values by the name of their group. Those that are not finite or beyond 1e300 are left out.
        hollow: Indices of the values that have a hollow dot, by the name of the group.
        is_logarithmic: Whether the horizontal axis is logarithmic. It is linear if a value is 0 or less.
    """

    title: str
    x_label: str
    values: Mapping[str, Sequence[float]]
    hollow: Mapping[str, Sequence[int]] = dataclasses.field(default_factory=dict)
    is_logarithmic: bool = False

    def find_values(self) -> list[float]:
        """Find the values that can be drawn."""
        return [value for of_group in self.values.values() for value in of_group if can_draw(value)]


def draw_dot_panels(panels: Sequence[DotPanel], rows: Mapping[str, str], colors: Mapping[str, str]) -> str:
    """Draw panels side by side, with the same rows in all, a dot for each value and a bar at the mean of each row.

    Args:
        panels: The panels. Those without a value that can be drawn are left out.
        rows: Label of each row by the name of its group, from top to bottom.
        colors: Color of each group.

    Returns:
        An <svg> element; empty without any panel.
    """
    drawn = [panel for panel in panels if panel.find_values()]
    if not drawn:
        return ""
    places = {name: float(index) for index, name in enumerate(rows)}

    def draw(figure: Figure) -> None:
        for axes, panel in zip(figure.subplots(1, len(drawn), sharey=True, squeeze=False).flat, drawn, strict=True):
            _draw_panel(axes, panel, places, colors)
        first = figure.axes[0]
        first.set_yticks(list(places.values()), [make_printable(label) for label in rows.values()])
        first.set_ylim(len(rows) - 0.5, -0.5)
        for label in first.get_yticklabels():
            label.set_parse_math(False)

    title = "; ".join(make_printable(panel.title) for panel in drawn)
    return draw_svg(f"dots: {title}", (_WIDTH_INCHES, _OTHER_INCHES + _ROW_INCHES * len(rows)), draw)


def _draw_panel(axes: Axes, panel: DotPanel, places: Mapping[str, float], colors: Mapping[str, str]) -> None:
    for name, place in places.items():
        values = panel.values.get(name, ())
        color = colors[name]
        for index, value in enumerate(values):
            if can_draw(value):
                height = place + _SPREAD * ((index + 0.5) / len(values) - 0.5)
                fill = "none" if index in panel.hollow.get(name, ()) else color
                axes.plot(value, height, "o", color=color, markerfacecolor=fill, markersize=_DOT_SIZE)
        known = [value for value in values if can_draw(value)]
        if known:
            axes.plot(statistics.fmean(known), place, "|", color="black", markersize=_MEAN_SIZE, markeredgewidth=1.5)
    axes.set_title(make_printable(panel.title), parse_math=False)
    axes.set_xlabel(panel.x_label)
    _scale_axis(axes, panel)


def _scale_axis(axes: Axes, panel: DotPanel) -> None:
    from matplotlib.ticker import MaxNLocator

    values = panel.find_values()
    axes.margins(x=_MARGIN)
    if panel.is_logarithmic and min(values) > 0:
        axes.set_xscale("log")
        set_logarithmic_ticks(axes.xaxis, min(values), max(values))
    else:
        axes.xaxis.set_major_locator(MaxNLocator(_MAX_INTERVALS))
