"""Line charts as SVG elements for HTML pages, drawn by matplotlib."""

from __future__ import annotations

import hashlib
import io
import itertools
import math
import re
import textwrap
import warnings
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple

from sagan_tf.text import make_printable
from sagan_tf.visualization.colors import MARKER_COLORS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
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
_DIGEST_LENGTH = 8
_BAND_OPACITY = 0.15
_MAX_VALUE = 1e300
LINE_STYLES: tuple[LineStyle, ...] = ("-", "--", ":")
_STYLE = {
    "axes.grid": True,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "figure.titlesize": 10,
    "font.size": 8.5,
    "grid.color": "#dddddd",
    "legend.borderaxespad": 0.2,
    "legend.frameon": False,
    "legend.labelspacing": 0.3,
    "lines.linewidth": 1.3,
    "lines.markersize": 4,
    "svg.fonttype": "none",  # Text stays text, so that a browser can find and select it.
}


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


def draw_svg(title: str, size: tuple[float, float], draw: Callable[[Figure], None]) -> str:
    """Draw a figure in the style of the charts.

    Args:
        title: Title in the metadata. The ids of figures with different titles differ.
        size: Width and height in inches.
        draw: Draws the content of the figure.

    Returns:
        An <svg> element.
    """
    import matplotlib.style
    from matplotlib.figure import Figure

    metadata = dict.fromkeys(("Creator", "Date", "Format", "Type")) | {"Title": title}
    file = io.StringIO()
    # A user's matplotlibrc does not change the charts, and the charts do not change the program's settings.
    with matplotlib.style.context({**_STYLE, "svg.hashsalt": title}, after_reset=True), warnings.catch_warnings():
        # The browser draws the text, with its own fonts.
        warnings.filterwarnings("ignore", "Glyph .* missing from font", UserWarning)
        figure = Figure(figsize=size, layout="constrained")
        draw(figure)
        figure.savefig(file, format="svg", metadata=metadata)
    svg = file.getvalue()
    # The ids of groups are the same in every figure, and nothing refers to them.
    return _number_ids(re.sub(r'<g id="[\w.]+">', "<g>", svg[svg.index("<svg") :]), title)


def _number_ids(svg: str, title: str) -> str:
    """Replace ids by a digest of the title and a number, in the order in which the file refers to or defines them.

    matplotlib computes ids from places that the solver of the layout gives with other rounding errors in each run.
    """
    prefix = f"i{hashlib.sha256(title.encode()).hexdigest()[:_DIGEST_LENGTH]}"
    numbers = itertools.count()
    names: defaultdict[str, str] = defaultdict(lambda: f"{prefix}-{next(numbers)}")
    return re.sub(r'(?<= id=")[\w.]+(?=")|(?<=[("]#)[\w.]+(?=[)"])', lambda match: names[match.group()], svg)


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


def can_draw(value: float) -> bool:
    """Return whether a value is finite and not so large that sums and ticks of the axis overflow."""
    return abs(value) <= _MAX_VALUE  # NaN is not.


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


def set_logarithmic_ticks(axis: Axis, low: float, high: float) -> None:
    """Choose the ticks of a logarithmic axis, with numbers and not with powers as labels.

    Args:
        axis: The axis, whose scale is logarithmic.
        low: Its smallest value, above 0.
        high: Its largest value.
    """
    from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator, StrMethodFormatter

    if high < 10.0 * low:
        axis.set_major_locator(MaxNLocator(6))  # There may be no power of 10 between the ends.
    else:
        axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if high < 1000.0 * low else (1.0,)))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(StrMethodFormatter("{x:g}"))


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
