"""Figures as SVG elements, in the style of all charts, drawn by matplotlib."""

from __future__ import annotations

import hashlib
import io
import itertools
import re
import warnings
from collections import defaultdict
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

_DIGEST_LENGTH = 8
_MAX_VALUE = 1e300
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


def can_draw(value: float) -> bool:
    """Return whether a value is finite and not so large that sums and ticks of the axis overflow."""
    return abs(value) <= _MAX_VALUE  # NaN is not.


def set_logarithmic_ticks(axis: Axis, low: float, high: float, *, max_intervals: int = 6) -> None:
    """Choose the ticks of a logarithmic axis, with numbers and not powers as labels.

    Args:
        axis: The axis, whose scale is logarithmic.
        low: Its smallest value, above 0.
        high: Its largest value.
        max_intervals: About how many intervals between ticks have space.
    """
    from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator, StrMethodFormatter

    if high < 10.0 * low:
        axis.set_major_locator(MaxNLocator(max_intervals))  # There may be no power of 10 between the ends.
    else:
        has_space = high < low * 10.0 ** (max_intervals / 2.0)
        axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if has_space else (1.0,)))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(StrMethodFormatter("{x:g}"))
