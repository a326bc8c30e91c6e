"""Tests of charts of several panels: one legend, styles of curves and a logarithmic axis."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest

from sagan_tf.visualization.colors import LINE_COLORS
from sagan_tf.visualization.panel_chart import Panel, draw_panels
from tests.visualization.test_colors import luminance
from tests.visualization.test_line_chart import read_texts


def find_styles(chart: str) -> list[tuple[str, str]]:
    """Return color and dashes of each line that is neither of an axis nor of the grid."""
    styles = re.findall(r"fill: none; (?:stroke-dasharray: ([\d., ]+); )?[^\"]*stroke: (#\w+);", chart)
    return [(color, dashes) for dashes, color in styles if color not in ("#000000", "#dddddd")]


def test_a_name_has_one_style_and_one_place_in_the_legend() -> None:
    names = [f"setting {index}" for index in range(13)]
    curves = {name: [(0, 1.0 + index), (9, 2.0 + index)] for index, name in enumerate(names)}
    chart = draw_panels(
        [Panel("a", "", curves), Panel("$b$", "", {names[12]: curves[names[12]]})], has_large_panel=True
    )
    styles = find_styles(chart)
    assert len(set(styles)) == 13 and len({color for color, _ in styles}) == len(LINE_COLORS)
    assert styles.count(styles[12]) == 3  # in both panels and in the legend
    assert all(chart.count(f">{name}</text>") == 1 for name in names) and ">$b$</text>" in chart


def test_a_logarithmic_axis_shows_means_and_not_the_whole_band() -> None:
    curve, deviations = {"a": [(0, 100.0), (1, 10.0), (2, 1.0)]}, {"a": [(0, 1.0), (1, 1.0), (2, 0.999999)]}
    texts = read_texts(draw_panels([Panel("t", "y", curve, deviations, is_logarithmic=True)], has_large_panel=True))
    assert {"1", "10", "100"} <= texts.keys() and "0.01" not in texts
    low, middle, high = (texts[tick][1] for tick in ("1", "10", "100"))
    assert low - middle == pytest.approx(middle - high, abs=0.1)
    linear = read_texts(draw_panels([Panel("t", "y", {"a": [(0, 1.0), (1, 0.0)]}, {}, True)], has_large_panel=True))
    assert "0.0" in linear


def test_panels_without_values_are_left_out() -> None:
    panels = [Panel("empty", "", {"a": [(0, math.nan)]}), Panel("full", "", {"a": [(0, 1.0)], "gone": []})]
    texts = read_texts(draw_panels(panels, has_large_panel=True))
    assert "full" in texts and not {"empty", "gone"} & texts.keys()
    assert draw_panels(panels[:1], has_large_panel=True) == draw_panels([], has_large_panel=False) == ""


def test_a_name_without_a_mean_is_shown_by_its_runs_and_their_ends() -> None:
    panel = Panel("t", "", {"a": []}, runs={"a": [[(0, 1.0), (4, 2.0)], [(0, 3.0)]]}, ends={"a": [(0, 3.0)]})
    chart = draw_panels([panel], has_large_panel=False, styles={"a": ("--", "#123456")})
    assert ">a</text>" in chart and {color for color, _ in find_styles(chart)} == {"#123456"}
    without = draw_panels([Panel("t", "", {"a": []}, runs=panel.runs)], has_large_panel=False)
    assert chart.count("<use ") == without.count("<use ") + 1


def test_thin_lines_are_visible_on_white() -> None:
    """The contrast of each drawn color with white, including its opacity, is at least 3."""
    runs = {name: [[(0, 1.0), (4, 2.0)]] for name in "abcdef"}
    chart = draw_panels([Panel("t", "", {"a": runs["a"][0]}, runs=runs)], has_large_panel=False)
    styles = [style for style in re.findall(r'style="([^"]*)"', chart) if any(c in style for c in LINE_COLORS)]
    assert len(styles) == 6 + 1 + 6  # runs, a mean and the legend
    for style in styles:
        color = np.array(list(bytes.fromhex(re.findall(r"stroke: #(\w+)", style)[0])))
        opacity = math.prod(map(float, re.findall(r"opacity: ([\d.]+)", style)))
        assert 1.05 / (luminance(255.0 + opacity * (color - 255.0)) + 0.05) >= 3.0


def test_a_logarithmic_axis_shows_all_runs() -> None:
    panel = Panel("t", "", {"a": [(0, 10.0)]}, runs={"a": [[(0, 1.0)], [(0, 100.0)]]}, is_logarithmic=True)
    assert {"1", "10", "100"} <= read_texts(draw_panels([panel], has_large_panel=False)).keys()
