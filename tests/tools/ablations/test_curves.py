"""Tests of the charts of a study, from records that are made by hand."""

from __future__ import annotations

import math
import re

import pytest

from sagan_tf.visualization.panel_chart import Panel, Style
from tests.tools.ablations.toy_outcomes import FCD, write_cell
from tools.ablations import curves
from tools.ablations.curve_styles import choose_styles
from tools.ablations.outcomes import read_outcomes


@pytest.fixture
def panels(monkeypatch) -> list[Panel]:
    """Return a list of the panels that are drawn."""
    drawn: list[Panel] = []

    def draw(panels: list[Panel], **_: bool) -> str:
        drawn.extend(panels)
        return ""

    monkeypatch.setattr(curves, "draw_panels", draw)
    return drawn


def test_curves_are_means_over_seeds_with_bands(panels, tmp_path):
    cells = [write_cell(tmp_path, name, seed, FCD[name][seed]) for seed in (0, 1) for name in FCD]
    curves.draw_metric_chart(read_outcomes(cells, "fcd10k"), "fcd10k")
    assert panels[0].curves == {"plain": [(10, 4.5), (20, 4.0), (30, 5.0)], "wide": [(10, 3.5), (20, 2.0), (30, 2.0)]}
    assert panels[0].deviations["wide"][0] == (10, pytest.approx(math.sqrt(0.5)))


def test_a_curve_ends_with_the_first_run_that_died(panels, tmp_path):
    cells = [write_cell(tmp_path, "plain", seed, FCD["plain"][seed]) for seed in (0, 1)]
    cells.append(write_cell(tmp_path, "plain", 2, [9.0, 0.0, 0.0], "unhealthy", ends=1))
    chart = curves.draw_metric_chart(read_outcomes(cells, "fcd10k"), "fcd10k")
    assert panels[0].curves == {"plain": [(10, 6.0)]} and "plain" not in chart.caption
    assert panels[0].runs["plain"][0] == [(10, 4.0), (20, 2.0), (30, 3.0)] and panels[0].ends == {"plain": [(10, 9.0)]}
    cells[2] = write_cell(tmp_path, "plain", 3, [], "unhealthy", ends=0)
    chart = curves.draw_metric_chart(read_outcomes(cells, "fcd10k"), "fcd10k")
    assert panels[1].curves == {"plain": []} and "plain, seed 3 (unhealthy at step 0)" in chart.caption
    assert len(panels[1].runs["plain"]) == 3 and panels[1].ends == {"plain": []}


def test_a_run_without_evaluations_is_named(panels, tmp_path):
    cells = [write_cell(tmp_path, "plain", 0, FCD["plain"][0]), write_cell(tmp_path, "plain", 1, [], "unfinished")]
    chart = curves.draw_metric_chart(read_outcomes(cells, "fcd10k"), "fcd10k")
    assert panels[0].curves["plain"][0] == (10, 4.0)
    assert "plain, seed 1" in chart.caption and "seed 0" not in chart.caption


def test_gamma_and_minus_gamma_are_the_same(panels, tmp_path):
    """Seed 1 has the opposite sign: the mean of 20 and -21 is not near 0."""
    cells = [write_cell(tmp_path, "plain", seed, FCD["plain"][seed]) for seed in (0, 1)]
    cells.append(write_cell(tmp_path, "plain", 2, [], "unfinished"))
    chart = curves.draw_gamma_chart(read_outcomes(cells, "fcd10k"))
    assert [panel.title for panel in panels] == ["generator"]
    assert panels[0].curves == {"plain": [(10, 10.5), (20, 20.5)]}
    assert "plain, seed 2" in chart.caption and "seed 0" not in chart.caption
    assert panels[0].runs == {"plain": [[(10, 10), (20, 20)], [(10, 11), (20, 21)], []]}
    assert curves.draw_gamma_chart([]).svg == ""


def test_without_gamma_of_a_run_that_died_there_is_no_mean(panels, tmp_path):
    cells = [write_cell(tmp_path, "plain", 0, FCD["plain"][0]), write_cell(tmp_path, "plain", 1, [], "unhealthy")]
    chart = curves.draw_gamma_chart(read_outcomes(cells, "fcd10k"))
    assert panels[0].curves == {"plain": []} and panels[0].runs == {"plain": [[(10, 10), (20, 20)], []]}
    assert "plain, seed 1 (unhealthy at step 0)" in chart.caption and panels[0].ends == {"plain": []}


def test_gamma_of_a_run_that_died_ends_with_a_cross(panels, tmp_path):
    cells = [write_cell(tmp_path, "plain", 1, FCD["plain"][1], "unhealthy")]
    curves.draw_gamma_chart(read_outcomes(cells, "fcd10k"))
    assert panels[0].ends == {"plain": [(20, 21)]}


@pytest.mark.parametrize(("count", "has_bands"), [(7, True), (8, False)])
def test_many_settings_have_no_bands(count: int, has_bands: bool, panels, tmp_path):
    cells = [write_cell(tmp_path, f"s{n}", seed, FCD["plain"][seed]) for n in range(count) for seed in (0, 1)]
    outcomes = read_outcomes(cells, "fcd10k")
    captions = [curves.draw_metric_chart(outcomes, "fcd10k").caption, curves.draw_gamma_chart(outcomes).caption]
    assert [bool(panel.deviations) for panel in panels] == [has_bands] * 2
    assert ["band" in caption for caption in captions] == [has_bands] * 2


def test_equal_numbers_have_one_color_and_equal_kinds_one_line_style():
    styles = choose_styles(["no_attention", "attention_8", "attention_16", "residual_8", "residual_16"])
    assert styles["attention_8"][1] == styles["residual_8"][1] != styles["attention_16"][1] == styles["residual_16"][1]
    assert styles["attention_8"][0] == styles["attention_16"][0] != styles["residual_8"][0] == styles["residual_16"][0]
    assert len(set(styles.values())) == 5


@pytest.mark.parametrize(
    "names", [[f"s_{n}" for n in range(13)], [f"{kind}_1" for kind in "abcd"], ["32", "64", "ema_32", "ema_64"]]
)
def test_all_settings_are_distinct(names: list[str]):
    assert len(set(choose_styles(names).values())) == len(names)


def test_several_layers_of_settings_of_one_color_are_distinct(tmp_path, monkeypatch):
    """The settings `pooled_8` and `full_8` have one color, and differ in the line style."""
    drawn: dict[str, Style] = {}
    cells = [write_cell(tmp_path, name, 0, FCD["plain"][0]) for name in ("pooled_8", "full_8")]
    names = ("gamma/generator/a", "gamma/discriminator/a", "gamma/discriminator/b")
    monkeypatch.setattr(curves, "read_run_records", lambda _: [{"kind": "train", "step": 1, **dict.fromkeys(names, 1)}])
    monkeypatch.setattr(curves, "draw_panels", lambda *_, styles, **__: drawn.update(styles) or "")
    curves.draw_gamma_chart(read_outcomes(cells, "fcd10k"))
    assert len(drawn) == len(set(drawn.values())) == 6 and {"pooled_8", "full_8, b"} <= drawn.keys()


def test_layers_are_named_and_long_logs_are_thinned(panels, tmp_path, monkeypatch):
    cell = write_cell(tmp_path, "plain", 0, FCD["plain"][0])
    names = ("gamma/discriminator/attention_8", "gamma/discriminator/attention_16")
    lines = [{"kind": "train", "step": step, names[0]: 0.5, names[1]: -step} for step in range(1000)]
    monkeypatch.setattr(curves, "read_run_records", lambda _: lines)
    curves.draw_gamma_chart(read_outcomes([cell], "fcd10k"))
    points = panels[0].curves["plain, attention_16"]
    assert set(panels[0].curves) == {"plain, attention_8", "plain, attention_16"}
    assert len(points) == 200 and (points[0], points[-1]) == ((0, 0), (999, 999))
    assert [step for step, _ in points] == sorted({step for step, _ in points})


def test_the_selecting_metric_is_the_large_panel(tmp_path):
    others = {"precision_recall10k/recall": 0.5}
    cells = [write_cell(tmp_path, name, 0, FCD[name][0], others=others) for name in FCD]
    svg = curves.draw_metric_chart(read_outcomes(cells, "fcd10k"), "fcd10k").svg
    texts = re.findall(r">([^<>]+)</text>", svg)
    assert {"fcd", "recall", "fcd10k, lower is better", "higher is better"} <= set(texts)
    assert texts.count("plain") == texts.count("wide") == 1


def test_no_other_metric_takes_the_place_of_the_large_panel(tmp_path):
    def measure_height(last: float) -> float:
        cell = write_cell(tmp_path / str(last), "plain", 0, [math.nan, math.nan, last], others={"is10k": 2.0})
        return float(
            re.findall(r'height="([\d.]+)pt"', curves.draw_metric_chart(read_outcomes([cell], "fcd10k"), "fcd10k").svg)[
                0
            ]
        )

    # With the large panel, the chart has two rows. Without it, it has one, which is smaller than a large panel.
    assert measure_height(math.nan) < 0.5 * measure_height(1.0)
