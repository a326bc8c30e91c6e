"""Tests of the tables of a study, from records that are made by hand."""

from __future__ import annotations

import csv
import dataclasses
import math

import pytest

from sagan_tf.training.health.signs import MIN_DISTANCE_RATIO
from tests.tools.ablations.toy_outcomes import FCD, write_cell
from tools.ablations.metric_text import format_heading
from tools.ablations.outcomes import BEST, LAST, Outcome, describe_ending, find_death_step, read_outcomes
from tools.ablations.tables import format_cells_csv, format_metric_mean, make_cost_table, make_metrics_table


@pytest.fixture
def outcomes(tmp_path) -> list[Outcome]:
    cells = [write_cell(tmp_path, name, seed, FCD[name][seed]) for seed in (0, 1) for name in FCD]
    return read_outcomes(cells, "fcd10k")


def test_means_and_deviations_at_the_best_and_the_last_step(outcomes):
    """Best: plain 2 and 5 at steps 20 and 10, wide 0.5 and 3 at steps 30 and 10."""
    heading, plain, wide = make_metrics_table(outcomes, "fcd10k", BEST)
    assert heading == ["setting", "runs", "died", "collapsed", "similar samples", "fcd ↓", "step"]
    assert plain == ["plain", "2 of 2", "0", "0", "-", "3.50 ± 2.12", "15 ± 7"]
    assert wide[5:] == ["**1.75 ± 1.77**", "20 ± 14"]
    _, plain, wide = make_metrics_table(outcomes, "fcd10k", LAST)
    assert plain[5:] == ["5.00 ± 2.83"] and wide[5:] == ["**2.00 ± 2.12**"]


def test_a_run_that_died_has_a_best_step_and_no_last_step(tmp_path):
    cells = [write_cell(tmp_path, "plain", 0, FCD["plain"][0]), write_cell(tmp_path, "wide", 0, FCD["wide"][0])]
    cells.append(write_cell(tmp_path, "wide", 1, [0.25, 9.0, 9.0], "unhealthy", ends=1))
    outcomes = read_outcomes(cells, "fcd10k")
    died = ["wide", "1 of 2", "1", "0", "-"]
    assert make_metrics_table(outcomes, "fcd10k", BEST)[2] == [*died, "**0.375 ± 0.177**", "20 ± 14"]
    # A mean of only the runs that did not die is not the best one.
    assert make_metrics_table(outcomes, "fcd10k", LAST)[2] == [*died, "0.500 (n=1)"]
    text = format_cells_csv(outcomes)
    rows = list(csv.DictReader(text.splitlines()))
    assert [row["status"] for row in rows] == ["finished", "finished", "unhealthy"]
    assert (rows[2]["best/fcd10k"], rows[2]["last/fcd10k"], rows[2]["last_step"]) == ("0.25", "", "")
    assert rows[2]["message"] == "see plain" and str(tmp_path) not in text


@pytest.mark.parametrize(
    ("last", "has_collapsed", "text"), [(4.0, False, "no"), (4.01, True, "yes"), (math.inf, True, "yes")]
)
def test_a_run_has_collapsed_if_its_last_value_is_more_than_twice_its_best(last, has_collapsed, text, tmp_path):
    cells = [write_cell(tmp_path, "plain", 0, [5.0, 2.0, last]), write_cell(tmp_path, "plain", 1, [4.0, 2.0, 3.0])]
    cells.append(write_cell(tmp_path, "plain", 2, [1.0, 9.0, 9.0], "unhealthy", ends=2))
    outcomes = read_outcomes(cells, "fcd10k")
    assert [outcome.has_collapsed for outcome in outcomes] == [has_collapsed, False, None]
    assert make_metrics_table(outcomes, "fcd10k", LAST)[1][2:4] == ["1", str(int(has_collapsed))]
    rows = csv.DictReader(format_cells_csv(outcomes).splitlines())
    assert [row["collapsed"] for row in rows] == [text, "no", ""]


def test_without_an_evaluation_before_the_end_no_collapse_is_known(tmp_path):
    cells = [write_cell(tmp_path, "plain", 0, [1.0, 1.0, 9.0], ends=0)]
    cells.append(write_cell(tmp_path, "plain", 1, [math.nan, math.nan, 9.0]))
    cells.append(write_cell(tmp_path, "plain", 2, [1.0, 1.0, math.nan]))  # NaN is neither near 1 nor far from it.
    outcomes = read_outcomes(cells, "fcd10k")
    assert make_metrics_table(outcomes, "fcd10k", LAST)[1][3] == "-"
    assert [row["collapsed"] for row in csv.DictReader(format_cells_csv(outcomes).splitlines())] == [""] * 3


def test_the_last_health_check_shows_similar_samples(tmp_path):
    limit = MIN_DISTANCE_RATIO
    ratios: list[list[float | None]] = [[1.0, limit - 0.01], [limit - 0.01, limit], [1.0], [], [limit - 0.01, None]]
    cells = [write_cell(tmp_path, "plain", seed, [1.0] * 3, ratios=each) for seed, each in enumerate(ratios)]
    cells.append(write_cell(tmp_path, "plain", 5, [1.0] * 3, "unhealthy", ratios=[0.1]))
    cells.append(write_cell(tmp_path, "plain", 6, [1.0] * 3, "unfinished", ratios=[0.1]))
    outcomes = read_outcomes(cells, "fcd10k")
    assert make_metrics_table(outcomes, "fcd10k", LAST)[1][1:5] == ["5 of 7, 1 unfinished", "1", "0", "2"]
    rows = list(csv.DictReader(format_cells_csv(outcomes).splitlines()))
    assert [row["similar_samples"] for row in rows] == ["yes", "no", "no", "", "", "yes", ""]
    assert [row["sample_distance_ratio"] for row in rows[:4]] == [f"{limit - 0.01}", f"{limit}", "1.0", ""]


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_settings_without_a_finite_value_are_shown(value: float, tmp_path):
    outcomes = read_outcomes([write_cell(tmp_path, "plain", seed, [value] * 3) for seed in (0, 1)], "fcd10k")
    assert [make_metrics_table(outcomes, "fcd10k", moment)[1][5] for moment in (BEST, LAST)] == ["-", "-"]


def test_the_table_has_six_metrics_and_the_csv_all(tmp_path):
    parts = ["precision_recall10k/precision", "precision_recall10k/recall", "density_coverage10k/density"]
    names = ["is10k", "label_agreement10k", *parts, "density_coverage10k/coverage"]
    cell = write_cell(tmp_path, "plain", 0, [3.0, 3.0, 3.0], others=dict.fromkeys(names, 0.5))
    outcomes = read_outcomes([cell], "fcd10k")
    heading = make_metrics_table(outcomes, "fcd10k", LAST)[0][5:]
    assert heading == ["fcd ↓", "is ↑", "agreement ↑", "precision ↑", "recall ↑", "coverage ↑"]
    assert {f"last/{name}" for name in ("fcd10k", *names)} <= set(format_cells_csv(outcomes).split("\n")[0].split(","))
    assert format_heading("authenticity10k/authenticity") == "authenticity/authenticity"  # no direction is better


@pytest.mark.parametrize(
    ("metric", "values", "text"),
    [
        ("fid50k", [18.65, 18.23], "18.44 ± 0.30"),
        ("fid50k", [186.5], "186.5"),
        ("fid50k", [1865.4], "1865"),
        ("fcd10k", [4.698], "4.70"),
        ("fcd10k", [0.0524], "0.052"),
        ("kid50k/value", [0.002134, 0.002136], "0.00213 ± 0.00000"),
        ("precision_recall10k/recall", [0.01, 0.02], "0.015 ± 0.007"),
        ("precision_recall10k/recall", [0.0, 0.0], "0.000 ± 0.000"),
        ("is50k", [None], "-"),
    ],
)
def test_decimals_fit_the_metric(metric: str, values: list[float | None], text: str):
    assert format_metric_mean(metric, values) == text


def test_the_cost_includes_runs_that_died(tmp_path):
    """Training took 2 s in the finished run, and the other logged 20 steps with 2 steps and 6 images a second."""
    cells = [write_cell(tmp_path, "plain", 0, [1.0, 1.0, 1.0])]
    cells.append(write_cell(tmp_path, "plain", 1, [1.0, 1.0, 1.0], "unhealthy"))
    _, plain, total = make_cost_table(read_outcomes(cells, "fcd10k"))
    assert plain[:2] == ["plain", "2"] and plain[3] == "1 ± 0"
    assert total == ["total", "2", "12", "2", "63"]


@pytest.mark.parametrize(("seconds", "text"), [(0.0, ""), (4.0, "4.0")])
def test_a_cell_whose_first_process_has_not_ended_has_no_cpu_seconds(seconds: float, text: str, tmp_path):
    cells = [write_cell(tmp_path, "plain", 0, FCD["plain"][0]), write_cell(tmp_path, "plain", 1, [], "unfinished")]
    finished, unfinished = read_outcomes(cells, "fcd10k")
    unfinished = dataclasses.replace(unfinished, record=dict(unfinished.record) | {"cpu_seconds": seconds})
    _, plain, total = make_cost_table([finished, unfinished])
    assert (plain[3], total[3]) == (("2 ± 2", "5") if seconds else ("1 (n=1)", "1 (n=1)"))
    rows = csv.DictReader(format_cells_csv([finished, unfinished]).splitlines())
    assert [row["cpu_seconds"] for row in rows] == ["1.0", text]


DEAD = "error: on_unhealthy: dead discriminator at step 250: range is 0; see /machine/path"
NON_FINITE = (
    "error: training: expected finite losses, received non-finite weights, loss scale between steps 5 and 9; /c"
)


@pytest.mark.parametrize(
    ("message", "text", "step"),
    [
        (DEAD, "dead discriminator at step 250", 250),
        (NON_FINITE, "non-finite weights, loss scale between steps 5 and 9", 9),
        ("see /machine/path at step 7", "unhealthy at step 20", 20),
    ],
)
def test_the_end_of_a_run_is_described_without_paths(message: str, text: str, step: int, tmp_path):
    (outcome,) = read_outcomes([write_cell(tmp_path, "plain", 0, [1.0, 1.0, 1.0], "unhealthy")], "fcd10k")
    outcome = dataclasses.replace(outcome, record={"message": message})
    assert describe_ending(outcome) == text and find_death_step(outcome) == step


def test_an_interrupted_cell_continues_from_its_last_checkpoint(tmp_path):
    """The log reaches step 20."""
    cell = write_cell(tmp_path, "plain", 0, [1.0, 1.0, 1.0], "unfinished")
    (cell.run_dir / "checkpoints").mkdir()
    (cell.run_dir / "checkpoints" / "step-10.index").touch()
    (outcome,) = read_outcomes([cell], "fcd10k")
    assert describe_ending(outcome) == "unfinished, continues from step 10"


def test_the_reason_of_a_failure_is_given_without_paths(tmp_path):
    """The message of the record names a directory within that of the study."""
    (outcome,) = read_outcomes([write_cell(tmp_path, "plain", 0, [1.0, 1.0, 1.0], "failed")], "fcd10k")
    assert describe_ending(outcome) == "failed at step 20: see plain"
    message = "exit status 1: No space left on device: '/machine/path'"
    text = describe_ending(dataclasses.replace(outcome, record={"message": message}))
    assert text == "failed at step 20: exit status 1: No space left on device: 'PATH'"
