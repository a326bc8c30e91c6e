"""Tests of charts with a dot for each value: places of dots, means, hollow dots and a logarithmic axis."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from xml.etree import ElementTree

import pytest

from sagan_tf.visualization.dot_chart import Dot, DotPanel, draw_dot_panels
from tests.visualization.test_line_chart import SVG, read_texts

LABELS, COLORS = {"a": "first", "b": "$second$"}, {"a": "#0072b2", "b": "#d55e00"}
BAR = "#000000"


def draw(dots: Mapping[str, Sequence[Dot]], *, is_logarithmic: bool = False) -> str:
    return draw_dot_panels("t", [DotPanel("panel", "x", dots, is_logarithmic)], LABELS, COLORS)


def read_marks(chart: str) -> list[tuple[str, bool, float, float]]:
    """Return color, whether it is filled, and position of each dot and bar."""
    in_axes = [group for group in ElementTree.fromstring(chart).iter(f"{SVG}g") if group.get("clip-path")]
    marks = []
    for mark in (mark for group in in_axes for mark in group.iter(f"{SVG}use")):
        style = mark.get("style", "")
        (color,) = re.findall(r"stroke: (#\w+)", style)
        marks.append((color, "fill: #" in style, float(mark.get("x", "")), float(mark.get("y", ""))))
    return marks


def test_dots_are_scaled_to_the_ticks_and_stand_in_the_row_of_their_group() -> None:
    chart = draw({"a": [Dot(0.0), Dot(5.0)], "b": [Dot(2.0)]})
    texts = read_texts(chart)
    scale = (texts["4"][0] - texts["0"][0]) / 4.0
    first, second, third = (mark for mark in read_marks(chart) if mark[0] != BAR)
    assert [(x - texts["0"][0]) / scale for _, _, x, _ in (first, second, third)] == pytest.approx([0, 5, 2], abs=0.01)
    assert [mark[0] for mark in (first, second, third)] == ["#0072b2", "#0072b2", "#d55e00"]
    row_height = texts["$second$"][1] - texts["first"][1]
    bars = {y for color, _, _, y in read_marks(chart) if color == BAR}
    assert len(bars) == 2 and max(bars) - min(bars) == pytest.approx(row_height, abs=0.1)
    assert 0 < second[3] - first[3] < 0.6 * row_height and (first[3] + second[3]) / 2 == pytest.approx(min(bars))
    assert third[3] == pytest.approx(max(bars))


def test_the_bar_is_the_mean_of_a_group_whose_values_are_all_drawn() -> None:
    chart = draw({"a": [Dot(0.0), Dot(1.0), Dot(5.0)], "b": [Dot(2.0), Dot(math.nan)]})
    marks = read_marks(chart)
    ((_, _, mean, _),) = (mark for mark in marks if mark[0] == BAR)
    (at_2,) = (x for color, _, x, _ in marks if color == COLORS["b"])
    assert mean == pytest.approx(at_2)
    assert all(len(read_marks(draw({"a": [Dot(1.0), Dot(bad)]}))) == 1 for bad in (math.nan, math.inf, 1e301))


def test_hollow_dots_are_not_filled() -> None:
    marks = read_marks(draw({"a": [Dot(1.0), Dot(3.0, is_hollow=True)]}))
    dots = sorted((x, is_filled) for color, is_filled, x, _ in marks if color != BAR)
    assert [is_filled for _, is_filled in dots] == [True, False]


def test_a_logarithmic_axis_needs_values_above_0() -> None:
    def place(values: Sequence[float], *ticks: str) -> list[float]:
        texts = read_texts(draw({"a": [Dot(value) for value in values]}, is_logarithmic=True))
        return [texts[tick][0] for tick in ticks]

    low, middle, high = place([0.9, 110.0], "1", "10", "100")
    assert middle - low == pytest.approx(high - middle, abs=0.1)
    low, middle, high = place([0.0, 90.0], "0", "40", "80")
    assert middle - low == pytest.approx(high - middle, abs=0.1)


def test_panels_without_values_are_left_out_and_rows_without_values_stay() -> None:
    panels = [
        DotPanel("empty", "", {"a": [Dot(math.nan)]}),
        DotPanel("full", "", {"a": [Dot(1.0)], "b": []}),
        DotPanel("no label", "", {"c": [Dot(1.0)]}),
    ]
    texts = read_texts(draw_dot_panels("t", panels, LABELS, COLORS))
    assert {"full", "first", "$second$"} <= texts.keys() and not {"empty", "no label"} & texts.keys()
    assert draw_dot_panels("t", panels[:1], LABELS, COLORS) == draw_dot_panels("t", [], LABELS, COLORS) == ""


def test_the_chart_depends_only_on_its_values_and_its_ids_on_the_title() -> None:
    panels = [DotPanel("panel", "x", {"a": [Dot(1.0), Dot(3.0)]})]
    chart, other = (draw_dot_panels(title, panels, LABELS, COLORS) for title in "tu")
    assert chart == draw_dot_panels("t", panels, LABELS, COLORS)
    assert not set(re.findall(r' id="(\w+)', chart)) & set(re.findall(r' id="(\w+)', other))
