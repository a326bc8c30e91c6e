"""Tests of the tables and curves of a study, from records that are made by hand."""

from __future__ import annotations

import csv
import json
import math
import pathlib
import re

import pytest

from sagan_tf.config import Config
from tools.ablations.curves import draw_gamma_chart, draw_metric_charts
from tools.ablations.outcomes import Outcome, read_outcomes
from tools.ablations.tables import (
    BEST,
    LAST,
    format_cells_csv,
    format_differences_csv,
    make_differences_table,
    make_metrics_table,
)
from tools.comparisons.cells import Cell, Limit
from tools.comparisons.settings import Setting

FCD = {"plain": [[4.0, 2.0, 3.0], [5.0, 6.0, 7.0]], "wide": [[4.0, 1.0, 0.5], [3.0, 3.0, 3.5]]}
"""The fcd10k of seed 0 and 1 at steps 10, 20 and 30."""


def write_cell(
    directory: pathlib.Path, name: str, seed: int, fcd: list[float], status: str = "finished", ends: int = 3
) -> Cell:
    """Write the record and the log of a cell, whose last value is that of the evaluation after training."""
    cell = Cell(Setting(name, ()), seed, Limit(30, 0.0), (), directory, Config())
    cell.run_dir.mkdir(parents=True)
    lines = [
        {"kind": "evaluation", "step": 10 * (index + 1), "num_samples": {"fcd10k": 1}, "fcd10k": value}
        for index, value in enumerate(fcd[: min(ends, max(len(fcd) - 1, 0))])
    ]
    lines += [
        {"kind": "evaluation", "step": 10, "generator_weights": "live", "num_samples": {"fcd10k": 1}, "fcd10k": -1}
    ]
    lines += [{"kind": "train", "step": step, "gamma/generator/attention": step + seed} for step in (10, 20)]
    (cell.run_dir / "metrics.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    record = cell._describe_identity() | {"status": status, "cpu_seconds": 1.0, "message": "the logits are 0"}
    record |= {"training_seconds": 2.0, "images_seen": 3, "step": 30, "values": {"fcd10k": fcd[-1]} if fcd else {}}
    cell.path_with_suffix(".json").write_text(json.dumps(record))
    return cell


@pytest.fixture
def outcomes(tmp_path: pathlib.Path) -> list[Outcome]:
    cells = [write_cell(tmp_path, name, seed, FCD[name][seed]) for seed in (0, 1) for name in FCD]
    return read_outcomes(cells, "fcd10k")


def test_means_and_deviations_at_the_best_and_the_last_step(outcomes):
    """Best: plain 2 and 5 at steps 20 and 10, wide 0.5 and 3 at steps 30 and 10."""
    heading, plain, wide = make_metrics_table(outcomes, BEST)
    assert heading == ["setting", "fcd", "step", "runs"]
    assert plain == ["plain", "3.500 ± 2.121", "15 ± 7", "2 of 2"]
    assert wide == ["wide", "1.750 ± 1.768", "20 ± 14", "2 of 2"]
    _, plain, wide = make_metrics_table(outcomes, LAST)
    assert plain == ["plain", "5.000 ± 2.828", "30 ± 0", "2 of 2"] and wide[1] == "2.000 ± 2.121"


def test_differences_are_paired_by_seed(outcomes):
    """Last: -2.5 and -3.5, so t is -3 / 0.5 with one degree of freedom, and p is 1 - 2 / pi * atan(6)."""
    heading, row = make_differences_table(outcomes, "fcd10k", LAST)
    assert row == ["wide", "-3.000 ± 0.707", "-9.353 to +3.353", "-6.00", "12.71", "0.105", "2"] and len(
        heading
    ) == len(row)
    lines = list(csv.DictReader(format_differences_csv(outcomes).splitlines()))
    last = next(line for line in lines if line["moment"] == LAST)
    assert (last["first"], last["second"], float(last["mean"])) == ("plain", "wide", -3.0)


def test_a_run_that_died_has_a_best_step_and_no_last_step(tmp_path):
    cells = [write_cell(tmp_path, "plain", 0, FCD["plain"][0]), write_cell(tmp_path, "wide", 0, FCD["wide"][0])]
    cells.append(write_cell(tmp_path, "wide", 1, [0.25, 9.0, 9.0], "unhealthy", ends=1))
    outcomes = read_outcomes(cells, "fcd10k")
    assert make_metrics_table(outcomes, BEST)[2][1:] == ["0.375 ± 0.177", "20 ± 14", "1 of 2, 1 unhealthy"]
    assert make_metrics_table(outcomes, LAST)[2][1:3] == ["0.500 (n=1)", "30 (n=1)"]
    assert make_differences_table(outcomes, "fcd10k", LAST)[1][1:] == ["-"] * 6
    rows = list(csv.DictReader(format_cells_csv(outcomes).splitlines()))
    assert [row["status"] for row in rows] == ["finished", "finished", "unhealthy"]
    assert (rows[2]["best/fcd10k"], rows[2]["last/fcd10k"], rows[2]["last_step"]) == ("0.25", "", "")


def test_values_that_are_not_finite_are_left_out_and_counted(tmp_path):
    wide = [[1.0, 1.0, 2.0], [1.0, 1.0, math.nan], [1.0, 1.0, 4.0]]
    cells = [write_cell(tmp_path, "plain", seed, [1.0, 1.0, 1.0]) for seed in range(3)]
    cells += [write_cell(tmp_path, "wide", seed, values) for seed, values in enumerate(wide)]
    outcomes = read_outcomes(cells, "fcd10k")
    (_, row) = make_differences_table(outcomes, "fcd10k", LAST)
    assert row[1] == "+2.000 ± 1.414" and row[-1] == "2" and row[4] == "12.71"  # the quantile of one degree of freedom
    assert make_metrics_table(outcomes, LAST)[2][1] == "3.000 ± 1.414 (n=2)"
    assert "wide: 1" in draw_metric_charts(outcomes)  # the last step at which all three values are finite


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_settings_without_a_finite_value_are_shown(value: float, tmp_path):
    outcomes = read_outcomes([write_cell(tmp_path, "plain", seed, [value] * 3) for seed in (0, 1)], "fcd10k")
    assert [make_metrics_table(outcomes, moment)[1][1] for moment in (BEST, LAST)] == ["-", "-"]
    assert draw_metric_charts(outcomes) == "" and format_differences_csv(outcomes).count("\n") == 1


def test_a_curve_ends_with_the_first_run_that_died(tmp_path):
    cells = [write_cell(tmp_path, "plain", seed, FCD["plain"][seed]) for seed in (0, 1)]
    cells.append(write_cell(tmp_path, "plain", 2, [9.0, 0.0, 0.0], "unhealthy", ends=1))
    assert "plain: 6" in draw_metric_charts(read_outcomes(cells, "fcd10k"))  # the mean of 4, 5 and 9 at step 10
    cells[2] = write_cell(tmp_path, "plain", 3, [], "unhealthy", ends=0)
    assert draw_metric_charts(read_outcomes(cells, "fcd10k")) == ""


def test_curves_are_means_over_seeds_with_bands(outcomes):
    """The legend has the last mean of each curve; each of the two curves has a filled band."""
    chart = draw_metric_charts(outcomes)
    assert {"plain: 5", "wide: 2"} <= set(re.findall(r">([^<>]+)</text>", chart))
    assert chart.count("fill-opacity: 0.15") == 2
    assert "plain: generator/attention: 20.5" in draw_gamma_chart(outcomes)
    assert draw_gamma_chart([]) == ""
