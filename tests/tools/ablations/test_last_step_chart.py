"""Tests of the chart of all runs at the last step, from records that are made by hand."""

from __future__ import annotations

import math
import pathlib

import pytest

from sagan_tf.visualization.dot_chart import DotPanel
from tests.tools.ablations.toy_outcomes import FCD, write_cell
from tools.ablations import last_step_chart
from tools.ablations.last_step_chart import draw_last_step_chart
from tools.ablations.outcomes import read_outcomes

OTHERS = {
    "classifier_score10k": 4.0,
    "class_agreement10k/worst": 0.25,
    "precision_recall10k/precision": 0.75,
    "precision_recall10k/recall": 0.5,
}


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list:
    """Return a list of the arguments with which panels are drawn."""
    calls: list = []

    def draw(*arguments: object) -> str:
        calls.extend(arguments)
        return "<svg/>"

    monkeypatch.setattr(last_step_chart, "draw_dot_panels", draw)
    return calls


def test_values_are_those_of_the_last_step_and_collapsed_runs_are_hollow(drawn: list, tmp_path: pathlib.Path):
    cells = [write_cell(tmp_path, name, seed, FCD[name][seed]) for seed in (0, 1) for name in FCD]
    cells.append(write_cell(tmp_path, "plain", 2, [2.0, 2.0, 4.5]))
    chart = draw_last_step_chart(read_outcomes(cells, "fcd10k"), "fcd10k")
    panels, rows, colors = drawn
    (panel,) = panels
    assert panel == DotPanel(
        "fcd", "lower is better", {"plain": [3.0, 7.0, 4.5], "wide": [0.5, 3.5]}, {"plain": [2], "wide": []}, True
    )
    assert rows == {"plain": "plain", "wide": "wide"} and len(set(colors.values())) == 2
    assert chart.svg == "<svg/>" and "died" not in chart.caption


def test_recall_and_worst_class_follow_the_selecting_metric(drawn: list, tmp_path: pathlib.Path):
    cells = [write_cell(tmp_path, "plain", 0, FCD["plain"][0], others=OTHERS)]
    draw_last_step_chart(read_outcomes(cells, "fcd10k"), "fcd10k")
    assert [(panel.title, panel.values["plain"], panel.is_logarithmic) for panel in drawn[0]] == [
        ("fcd", [3.0], True),
        ("recall", [0.5], False),
        ("worst class", [0.25], False),
    ]


def test_a_run_that_died_is_counted_and_has_no_dot(drawn: list, tmp_path: pathlib.Path):
    cells = [write_cell(tmp_path, "plain", 0, FCD["plain"][0])]
    cells.append(write_cell(tmp_path, "plain", 1, [9.0, 1.0, 1.0], "unhealthy", ends=2))
    chart = draw_last_step_chart(read_outcomes(cells, "fcd10k"), "fcd10k")
    values = drawn[0][0].values["plain"]
    assert values[0] == 3.0 and math.isnan(values[1])
    assert drawn[1] == {"plain": "plain (1 of 2 died)"} and "died" in chart.caption


def test_without_a_finished_run_there_is_no_chart(tmp_path: pathlib.Path):
    cells = [write_cell(tmp_path, "plain", 0, [9.0, 1.0, 1.0], "unhealthy", ends=2)]
    assert draw_last_step_chart(read_outcomes(cells, "fcd10k"), "fcd10k").svg == ""
