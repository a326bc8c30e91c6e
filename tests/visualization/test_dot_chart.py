"""Tests of charts with a dot for each value: what is drawn, means, hollow dots and a logarithmic axis."""

from __future__ import annotations

import math
import re
from typing import Any

import pytest

from sagan_tf.visualization.dot_chart import DotPanel, draw_dot_panels
from tests.visualization.test_line_chart import read_texts

ROWS, COLORS = {"a": "first", "b": "$second$"}, {"a": "#0072b2", "b": "#d55e00"}


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[dict]:
    """Return a list of the marks that are drawn: place, kind, color and fill."""
    from matplotlib.axes import Axes

    marks: list[dict] = []
    plot = Axes.plot

    def record(self: Axes, x: float, y: float, kind: str, **style: Any) -> object:
        marks.append({"x": x, "y": y, "kind": kind, **style})
        return plot(self, x, y, kind, **style)

    monkeypatch.setattr(Axes, "plot", record)
    return marks


def test_each_value_is_a_dot_in_its_row_and_the_bar_is_the_mean(drawn: list[dict]) -> None:
    chart = draw_dot_panels([DotPanel("t", "x", {"a": [1.0, 3.0], "b": [2.0, math.nan, 6.0]})], ROWS, COLORS)
    dots = [(mark["x"], round(mark["y"]), mark["color"]) for mark in drawn if mark["kind"] == "o"]
    assert dots == [(1.0, 0, "#0072b2"), (3.0, 0, "#0072b2"), (2.0, 1, "#d55e00"), (6.0, 1, "#d55e00")]
    assert [(mark["x"], mark["y"]) for mark in drawn if mark["kind"] == "|"] == [(2.0, 0.0), (4.0, 1.0)]
    heights = [mark["y"] for mark in drawn if mark["kind"] == "o"]
    assert len(set(heights)) == 4 and all(abs(height - round(height)) < 0.5 for height in heights)
    places = read_texts(chart)
    assert places["first"][1] < places["$second$"][1]  # SVG counts from the top.


def test_hollow_dots_are_those_of_the_indices(drawn: list[dict]) -> None:
    draw_dot_panels([DotPanel("t", "x", {"a": [1.0, 3.0], "b": [2.0]}, {"a": [1]})], ROWS, COLORS)
    assert [mark["markerfacecolor"] for mark in drawn if mark["kind"] == "o"] == ["#0072b2", "none", "#d55e00"]


def test_a_logarithmic_axis_needs_values_above_0() -> None:
    def place(values: list[float], *ticks: str) -> list[float]:
        texts = read_texts(draw_dot_panels([DotPanel("t", "x", {"a": values}, {}, True)], ROWS, COLORS))
        return [texts[tick][0] for tick in ticks]

    low, middle, high = place([0.9, 110.0], "1", "10", "100")
    assert middle - low == pytest.approx(high - middle, abs=0.1)
    low, middle, high = place([0.0, 90.0], "0", "25", "50")
    assert middle - low == pytest.approx(high - middle, abs=0.1)


def test_panels_without_values_are_left_out_and_rows_without_values_stay() -> None:
    panels = [DotPanel("empty", "", {"a": [math.nan, math.inf]}), DotPanel("full", "", {"a": [1.0], "b": []})]
    texts = read_texts(draw_dot_panels(panels, ROWS, COLORS))
    assert {"full", "first", "$second$"} <= texts.keys() and "empty" not in texts
    assert draw_dot_panels(panels[:1], ROWS, COLORS) == draw_dot_panels([], ROWS, COLORS) == ""


def test_the_chart_depends_only_on_its_arguments_and_not_on_a_chart_of_curves_with_its_title() -> None:
    from sagan_tf.visualization.panel_chart import Panel, draw_panels

    panels = [DotPanel("t", "x", {"a": [1.0, 3.0]})]
    chart = draw_dot_panels(panels, ROWS, COLORS)
    assert chart == draw_dot_panels(panels, ROWS, COLORS)
    other = draw_panels([Panel("t", "x", {"a": [(0, 1.0)]})], has_large_panel=False)
    assert not set(re.findall(r' id="(\w+)', chart)) & set(re.findall(r' id="(\w+)', other))
