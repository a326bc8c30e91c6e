"""Tests of line charts: what they show, and in a browser that nothing is cut off or covered."""

from __future__ import annotations

import itertools
import math
import pathlib
import re
import subprocess
import sys
import warnings
from collections.abc import Callable, Mapping
from xml.etree import ElementTree

import matplotlib
import pytest

from sagan_tf.visualization.charts import CHARTS
from sagan_tf.visualization.dot_chart import Dot, DotPanel, draw_dot_panels
from sagan_tf.visualization.line_chart import Points, draw_line_chart, draw_line_charts
from sagan_tf.visualization.panel_chart import Panel, draw_panels
from tests.browser import Page

SVG = "{http://www.w3.org/2000/svg}"
BLUE = "#0072b2"


def read_first_curve(chart: str) -> tuple[list[list[tuple[float, float]]], int]:
    """Return the coordinates of the parts of the first curve, and its number of markers."""
    in_axes = [group for group in ElementTree.fromstring(chart).iter() if group.get("clip-path")]
    elements = [element for group in in_axes for element in group.iter() if BLUE in element.get("style", "")]
    drawn = "".join(element.get("d", "") for element in elements)
    parts = [re.findall(r"([\d.]+) ([\d.]+)", part) for part in drawn.split("M")]
    lines = [[(float(x), float(y)) for x, y in part] for part in parts if len(part) > 1]
    return lines, sum(element.tag == f"{SVG}use" for element in elements)


def read_texts(chart: str) -> dict[str, tuple[float, float]]:
    """Return the position of each text."""
    texts = ElementTree.fromstring(chart).iter(f"{SVG}text")
    return {text.text or "": (float(text.get("x", "")), float(text.get("y", ""))) for text in texts}


def test_curves_are_scaled_to_the_ticks() -> None:
    chart = draw_line_chart("losses", {"a": [(0, 0.0), (500, 1.0), (1000, 2.0)], "b": [(1000, 2.0)]})
    ((left, middle, right),), markers = read_first_curve(chart)
    assert markers == 0
    assert middle == pytest.approx([(first + last) / 2 for first, last in zip(left, right, strict=True)], abs=0.1)
    texts = read_texts(chart)
    assert [texts[step][0] for step in ("0", "1,000")] == pytest.approx([left[0], right[0]], abs=0.1)
    assert texts["2.0"][1] - texts["0.0"][1] == pytest.approx(right[1] - left[1], abs=0.1)


def test_the_legend_has_the_last_finite_value_of_each_curve() -> None:
    series: dict[str, Points] = {"loss": [(0, 5.0), (1, 0.12345678), (2, math.inf)], "dead": [(0, math.nan)], "no": []}
    texts = read_texts(draw_line_chart("t", series))
    assert {"t", "loss: 0.1235"} <= texts.keys() and not any(text.startswith(("dead", "no")) for text in texts)
    with pytest.raises(ValueError, match="series"):
        draw_line_chart("t", {"a": [(0, math.nan)], "b": []})


def test_curves_have_gaps_at_values_that_are_not_finite() -> None:
    values = [1.0, 2.0, math.nan, 3.0, math.inf, 5.0, 6.0]
    lines, markers = read_first_curve(draw_line_chart("t", {"a": list(enumerate(values))}))
    assert list(map(len, lines)) == [2, 2] and markers == 1
    assert read_first_curve(draw_line_chart("t", {"a": [(4, 2.0)]})) == ([], 1)


@pytest.mark.parametrize("value", [1.7e308, -1.1e300, math.inf])
def test_values_that_cannot_be_drawn_are_gaps(value: float) -> None:
    lines, _ = read_first_curve(draw_line_chart("t", {"a": list(enumerate([0.0, 1.0, value, 1e300, -1e300]))}))
    assert list(map(len, lines)) == [2, 2]
    assert not any(label in draw_line_chart("t", {"only": [(0, value)], "b": [(0, 0.0)]}) for label in ("only", "inf"))


@pytest.mark.parametrize(
    ("name", "shown"), [("a\x00\x1b", r"a\x00\x1b"), ("a\udcff", r"a\udcff"), ("a\uffff", r"a\uffff"), ("猫é", "猫é")]
)
def test_names_of_any_characters_give_valid_xml_without_warnings(name: str, shown: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        texts = read_texts(draw_line_chart(name, {name: [(0, 1.0)]}))
    assert {shown, f"{shown}: 1"} <= texts.keys()


@pytest.mark.parametrize("name", ['"><script>&', "$x^2$", "$\\frac{"])
def test_names_are_shown_as_they_are(name: str) -> None:
    chart = draw_line_chart(name, {name: [(0, 1.0)]})
    assert {name, f"{name}: 1"} <= read_texts(chart).keys() and "<script>" not in chart


def test_a_chart_depends_only_on_its_values() -> None:
    """The settings of matplotlib neither change a chart nor are changed by it."""
    expected = draw_line_chart("t", {"a": [(0, 1.0), (9, 2.0)]})
    with matplotlib.rc_context({"text.color": "red", "xtick.labelsize": 30, "svg.fonttype": "path"}):
        before = dict(matplotlib.rcParams)
        assert draw_line_chart("t", {"a": [(0, 1.0), (9, 2.0)]}) == expected
        assert dict(matplotlib.rcParams) == before


def test_ids_of_charts_on_one_page_differ() -> None:
    first, second = (set(re.findall(r'\bid="(.*?)"', draw_line_chart(title, {"a": [(0, 1.0)]}))) for title in "ab")
    assert first and second and not first & second


def test_ids_are_numbered_and_each_reference_has_its_definition() -> None:
    chart = draw_line_chart("t", {"a": [(0, 1.0), (9, 2.0)]})
    ids = re.findall(r'\bid="(.*?)"', chart)
    assert len(set(ids)) == len(ids) and set(re.findall(r'#(i[\w-]+)[)"]', chart)) == set(ids)
    assert sorted(int(each.partition("-")[2]) for each in ids) == list(range(len(ids)))


def test_ids_of_clip_paths_do_not_depend_on_the_layout() -> None:
    ids = []
    for scale in (1.0, 1e6):
        chart = draw_line_charts({title: {"a": [(0, scale), (1, 2.0 * scale)]} for title in "ab"})
        ids.append(re.findall(r'<clipPath id="(.*?)"', chart))
        assert set(re.findall(r"url\(#(.*?)\)", chart)) == set(ids[-1]) and len(set(ids[-1])) == 2
    assert ids[0] == ids[1]


def test_matplotlib_is_loaded_by_a_chart_only_and_pyplot_never() -> None:
    program = "import sys; from sagan_tf.visualization.line_chart import draw_line_chart as draw\n"
    program += "assert 'matplotlib' not in sys.modules; draw('t', {'a': [(0, 1)]})\n"
    program += "assert 'matplotlib.pyplot' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True, cwd=pathlib.Path(__file__).parents[2])


BOXES = """
(selector => [...document.querySelectorAll(selector)].map(element => {
  const {left, top, right, bottom} = element.getBoundingClientRect();
  return [left, top, right, bottom];
}))
"""
MAX_OVERLAP_PX = 2.0  # The box of a text has some space above and below its characters.


def overlap(one: list[float], other: list[float]) -> bool:
    shared = [min(one[end], other[end]) - max(one[end - 2], other[end - 2]) for end in (2, 3)]
    return min(shared) > MAX_OVERLAP_PX


def draw_as_panels(charts: Mapping[str, Mapping[str, Points]]) -> str:
    panels = [Panel(title, "lower is better", charts[title], {}, index == 0) for index, title in enumerate(charts)]
    return draw_panels([*panels, *panels, *panels], has_large_panel=True)


def draw_as_dots(charts: Mapping[str, Mapping[str, Points]]) -> str:
    """Draw panels with values over three powers of 10, on a linear axis, and over one power of 10."""
    names = {name: name for series in charts.values() for name in series}
    dots = {name: [Dot(value) for value in (0.012, 0.3, 9.0)] for name in names}
    panels = [DotPanel(title, "lower is better", dots, is_logarithmic=index == 0) for index, title in enumerate(charts)]
    panels.append(DotPanel("FID", "", {name: [Dot(101.0), Dot(901.0)] for name in names}, is_logarithmic=True))
    return draw_dot_panels("t", panels, names, dict.fromkeys(names, BLUE))


@pytest.mark.parametrize("draw", [draw_line_charts, draw_as_panels, draw_as_dots])
def test_nothing_is_cut_off_or_covered_in_a_browser(
    draw: Callable[[Mapping[str, Mapping[str, Points]]], str], browser: Page, tmp_path: pathlib.Path
) -> None:
    curve = [(step, 1.0 + step * 1e3) for step in range(0, 1_000_001, 50_000)]
    longest = max((title for charts in CHARTS.values() for title in charts), key=len)
    names = [f"evaluation/precision_recall50k/precision_{index}" for index in range(8)]
    charts = {longest: dict.fromkeys(names, curve), "long title " * 9: {"long name " * 9: [(1, 0.0)]}}
    (tmp_path / "chart.svg").write_text(draw(charts))
    browser.open(f"file://{tmp_path}/chart.svg")
    texts = browser.wait_for(f"{BOXES}('text')")
    lines = browser.evaluate(f"{BOXES}('[clip-path]')")
    ((left, top, right, bottom),) = browser.evaluate(f"{BOXES}('svg')")
    assert len(texts) > 30 and len(lines) > 8
    assert all(left <= box[0] and top <= box[1] and box[2] <= right and box[3] <= bottom for box in texts)
    assert not [pair for pair in itertools.combinations(texts, 2) if overlap(*pair)]
    assert not [pair for pair in itertools.product(texts, lines) if overlap(*pair)]
