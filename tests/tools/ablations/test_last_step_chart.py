"""Tests of the chart of all runs at the last step, from records that are made by hand."""

from __future__ import annotations

import math
import pathlib
from collections.abc import Mapping, Sequence

import pytest

from sagan_tf.visualization.dot_chart import Dot, DotPanel
from tests.tools.ablations.toy_outcomes import FCD, write_cell
from tests.visualization.test_line_chart import read_texts
from tools.ablations import last_step_chart
from tools.ablations.last_step_chart import draw_last_step_chart
from tools.ablations.outcomes import read_outcomes
from tools.comparisons.cells import Cell

OTHERS = {
    "classifier_score10k": 4.0,
    "kcd10k": 1.0,
    "cmmd10k": 1.0,
    "label_agreement10k": 0.5,
    "density_coverage10k/density": 1.0,
    "density_coverage10k/coverage": 1.0,
    "class_agreement10k/worst": 0.25,
    "precision_recall10k/precision": 0.75,
    "precision_recall10k/recall": 0.5,
}
NO_DOT = "A run without a finite value"


@pytest.fixture
def panels(monkeypatch: pytest.MonkeyPatch) -> list[DotPanel]:
    """Return a list of the panels that are drawn."""
    drawn: list[DotPanel] = []
    draw = last_step_chart.draw_dot_panels

    def record(title: str, panels: Sequence[DotPanel], labels: Mapping[str, str], colors: Mapping[str, str]) -> str:
        drawn.extend(panels)
        return draw(title, panels, labels, colors)

    monkeypatch.setattr(last_step_chart, "draw_dot_panels", record)
    return drawn


def draw_cells(cells: Sequence[Cell]) -> tuple[set[str], str]:
    """Return the texts of the chart of cells, and its caption."""
    chart = draw_last_step_chart(read_outcomes(cells, "fcd10k"), "fcd10k")
    return set(read_texts(chart.svg)), chart.caption


def test_values_are_those_of_the_last_step_and_collapsed_runs_are_hollow(
    panels: list[DotPanel], tmp_path: pathlib.Path
) -> None:
    cells = [write_cell(tmp_path, name, seed, FCD[name][seed]) for seed in (0, 1) for name in FCD]
    cells.append(write_cell(tmp_path, "plain", 2, [2.0, 2.0, 4.5]))
    texts, caption = draw_cells(cells)
    (panel,) = panels
    assert panel.dots == {"plain": [Dot(3.0), Dot(7.0), Dot(4.5, is_hollow=True)], "wide": [Dot(0.5), Dot(3.5)]}
    assert panel.is_logarithmic and {"fcd", "lower is better", "plain", "wide"} <= texts and NO_DOT not in caption


def test_recall_and_worst_class_follow_the_selecting_metric(panels: list[DotPanel], tmp_path: pathlib.Path) -> None:
    draw_cells([write_cell(tmp_path, "plain", 0, FCD["plain"][0], others=OTHERS)])
    assert [(panel.title, panel.dots["plain"], panel.is_logarithmic) for panel in panels] == [
        ("fcd", [Dot(3.0)], True),
        ("recall", [Dot(0.5)], False),
        ("worst class", [Dot(0.25)], False),
    ]


def test_other_metrics_are_shown_without_recall_and_worst_class(panels: list[DotPanel], tmp_path: pathlib.Path) -> None:
    others = {name: value for name, value in OTHERS.items() if not name.endswith(("recall", "worst"))}
    draw_cells([write_cell(tmp_path, "plain", 0, FCD["plain"][0], others=others)])
    assert [panel.title for panel in panels] == ["fcd", "classifier_score", "kcd"]


def test_a_run_that_died_is_counted_and_has_no_dot(panels: list[DotPanel], tmp_path: pathlib.Path) -> None:
    cells = [write_cell(tmp_path, "plain", 0, FCD["plain"][0])]
    cells.append(write_cell(tmp_path, "plain", 1, [9.0, 1.0, 1.0], "unhealthy", ends=2))
    cells.append(write_cell(tmp_path, "wide", 0, FCD["wide"][0]))
    texts, caption = draw_cells(cells)
    first, second = panels[0].dots["plain"]
    assert first == Dot(3.0) and math.isnan(second.value)
    assert {"plain (1 of 2 died)", "wide"} <= texts and NO_DOT in caption


@pytest.mark.parametrize(("status", "last"), [("failed", 3.0), ("unfinished", 3.0), ("finished", math.inf)])
def test_a_run_without_a_finite_last_value_is_not_said_to_have_died(
    status: str, last: float, tmp_path: pathlib.Path
) -> None:
    cells = [write_cell(tmp_path, "plain", 0, FCD["plain"][0])]
    cells.append(write_cell(tmp_path, "plain", 1, [9.0, 1.0, last], status))
    texts, caption = draw_cells(cells)
    assert "plain" in texts and NO_DOT in caption


def test_without_a_finished_run_there_is_no_chart(tmp_path: pathlib.Path) -> None:
    cells = [write_cell(tmp_path, "plain", 0, [9.0, 1.0, 1.0], "unhealthy", ends=2)]
    assert draw_last_step_chart(read_outcomes(cells, "fcd10k"), "fcd10k").svg == ""
