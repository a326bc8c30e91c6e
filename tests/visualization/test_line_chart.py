"""Tests of line charts: scale, legend and escaped names."""

from __future__ import annotations

import math
import xml.etree.ElementTree as ElementTree

import pytest

from sagan_tf.visualization.line_chart import compute_ticks, draw_line_chart

SVG = "{http://www.w3.org/2000/svg}"


def read_coordinates(chart: str) -> list[list[tuple[float, float]]]:
    lines = ElementTree.fromstring(chart).iter(f"{SVG}polyline")
    return [[tuple(map(float, point.split(","))) for point in line.get("points", "").split()] for line in lines]


def test_curves_are_scaled_to_their_values() -> None:
    (first, second) = read_coordinates(
        draw_line_chart("losses", {"a": [(0, 0.0), (50, 1.0), (100, 2.0)], "b": [(100, 2.0)]})
    )
    left, middle, right = first
    assert middle == pytest.approx([(first + last) / 2 for first, last in zip(left, right, strict=True)], abs=0.1)
    assert left[1] > right[1] and second == [right]  # SVG coordinates increase downwards


def test_legend_has_the_last_value() -> None:
    text = "".join(ElementTree.fromstring(draw_line_chart("t", {"loss": [(0, 5.0), (1, 0.12345678)]})).itertext())
    assert "loss: 0.1235" in text and "t" in text


def test_names_are_escaped() -> None:
    chart = draw_line_chart("<b>&", {'"><script>': [(0, 1.0)]})
    assert "<script>" not in chart and ElementTree.fromstring(chart).get("aria-label") == "<b>&"


def test_values_that_are_not_finite_are_left_out() -> None:
    (line,) = read_coordinates(
        draw_line_chart("t", {"a": [(0, 1.0), (1, math.nan), (2, math.inf), (3, 2.0)], "b": [(0, math.nan)]})
    )
    assert len(line) == 2
    with pytest.raises(ValueError, match="must have a finite point"):
        draw_line_chart("t", {"a": [(0, math.nan)], "b": []})


def test_a_constant_curve_has_a_scale() -> None:
    for value in (0.0, 3.0, -1e6):
        (line,) = read_coordinates(draw_line_chart("t", {"a": [(5, value), (9, value)]}))
        assert line[0][1] == line[1][1] and 30 <= line[0][1] <= 236


@pytest.mark.parametrize(
    ("minimum", "maximum", "expected"),
    [
        (0.0, 6.0, [0, 1, 2, 3, 4, 5, 6]),
        (20.0, 900.0, [200, 400, 600, 800]),
        (-0.12, 0.17, [-0.1, -0.05, 0, 0.05, 0.1, 0.15]),
        (0.001, 0.0011, [0.001, 0.00102, 0.00104, 0.00106, 0.00108, 0.0011]),
    ],
)
def test_ticks(minimum: float, maximum: float, expected: list[float]) -> None:
    assert compute_ticks(minimum, maximum) == pytest.approx(expected)
