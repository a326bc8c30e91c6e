"""Tests of the comparisons of two settings, from records that are made by hand."""

from __future__ import annotations

import csv
import math

import pytest

from tests.tools.ablations.toy_outcomes import FCD, write_cell
from tools.ablations.comparisons import (
    compare_settings,
    format_comparisons_csv,
    format_p_value,
    make_comparisons_table,
)
from tools.ablations.outcomes import BEST, LAST, Outcome, read_outcomes


def read_settings(directory, **values: list[float]) -> list[Outcome]:
    """Return the outcomes of runs with these values at the last step, by setting and seed."""
    cells = [
        write_cell(directory, name, seed, [1.0, 1.0, value])
        for name, of_seeds in values.items()
        for seed, value in enumerate(of_seeds)
    ]
    return read_outcomes(cells, "fcd10k")


def test_differences_are_paired_by_seed(tmp_path):
    """Last: -2.5 and -3.5, so t is -3 / 0.5 with one degree of freedom, and p is 1 - 2 / pi * atan(6)."""
    cells = [write_cell(tmp_path, name, seed, FCD[name][seed]) for seed in (0, 1) for name in FCD]
    outcomes = read_outcomes(cells, "fcd10k")
    comparisons = compare_settings(outcomes, [("plain", "wide"), ("wide", "plain")], "fcd10k", LAST)
    heading, row, swapped = make_comparisons_table(comparisons, "fcd10k")
    p = 1 - 2 / math.pi * math.atan(6)
    texts = [f"{p:.3f}", f"{2 * p:.3f}", "2"]
    assert row == ["plain", "wide", "5.00", "2.00", "-3.00 (-9.35 to +3.35)", *texts] and len(heading) == len(row)
    assert swapped == ["wide", "plain", "2.00", "5.00", "+3.00 (-3.35 to +9.35)", *texts]
    lines = list(csv.DictReader(format_comparisons_csv(outcomes, [("plain", "wide")], "fcd10k").splitlines()))
    last = next(line for line in lines if line["moment"] == LAST)
    assert [last[name] for name in ("first", "second", "difference", "first_mean")] == ["plain", "wide", "-3.0", "5.0"]
    assert float(last["critical_t"]) == pytest.approx(12.706, abs=1e-3) and last["holm_p"] == last["p"]


def test_a_setting_with_a_run_that_died_is_not_compared(tmp_path):
    values = {"plain": [1.0, 2.0, 3.0], "wide": [2.0, 3.0, 5.0], "deep": [2.0, 4.0, 5.0]}
    outcomes = read_settings(tmp_path, **values)
    died = [write_cell(tmp_path, "deep", seed, [1.0, 2.0, 3.0], "unhealthy") for seed in (3, 4)]
    outcomes += read_outcomes(died, "fcd10k")
    pairs = [("plain", "wide"), ("plain", "deep")]
    for moment in (BEST, LAST):
        compared, left_out = compare_settings(outcomes, pairs, "fcd10k", moment)
        assert not compared.reason and left_out.test is None and "2 of 5 runs of deep" in left_out.reason
        assert make_comparisons_table([left_out], "fcd10k")[1][2:5] == ["-", "-", left_out.reason]
    rows = list(csv.DictReader(format_comparisons_csv(outcomes, pairs[:1], "fcd10k").splitlines()))
    last = [(row["first"], row["second"]) for row in rows if row["moment"] == LAST]
    assert last == [*pairs[:1], ("plain", "deep"), ("wide", "deep")]
    assert "deep died" in rows[-1]["note"] and rows[-1]["p"] == "" and rows[1]["note"] == ""


def test_p_values_are_adjusted_over_the_pairs_of_a_table(tmp_path):
    outcomes = read_settings(tmp_path, a=[1.0, 2.0, 3.0], b=[2.0, 3.1, 4.0], c=[1.5, 2.0, 3.6], d=[2.0, 3.0, 4.0])
    ab, ac, ad = compare_settings(outcomes, [("a", "b"), ("a", "c"), ("a", "d")], "fcd10k", LAST)
    assert ad.holm_p is None and make_comparisons_table([ad], "fcd10k")[1][5:7] == ["-", "-"]  # equal differences
    p_values = [each.test.student.p_value for each in (ab, ac) if each.test and each.test.student]
    assert p_values[0] < p_values[1] < 0.5
    assert (ab.holm_p, ac.holm_p) == (2 * p_values[0], p_values[1])


def test_the_ends_of_a_narrow_interval_differ(tmp_path):
    """The differences are -0.2, -0.21 and -0.22: the interval is 4.303 * 0.01 / sqrt(3) on each side of the mean."""
    outcomes = read_settings(tmp_path, plain=[150.14, 150.14, 150.14], wide=[149.94, 149.93, 149.92])
    compared = compare_settings(outcomes, [("plain", "wide")], "fcd10k", LAST)
    assert make_comparisons_table(compared, "fcd10k")[1][2:5] == ["150.1", "149.9", "-0.210 (-0.235 to -0.185)"]


def test_seeds_without_a_finite_value_are_left_out_and_counted(tmp_path):
    outcomes = read_settings(tmp_path, plain=[1.0, 1.0, 1.0], wide=[2.0, math.nan, 4.0], short=[5.0])
    ((compared, single)) = compare_settings(outcomes, [("plain", "wide"), ("plain", "short")], "fcd10k", LAST)
    assert compared.test and compared.test.mean == 2.0 and compared.means == (1.0, 3.0)
    assert make_comparisons_table([compared], "fcd10k")[1][-1] == "2 of 3"
    assert single.test is None and "two seeds" in single.reason


@pytest.mark.parametrize(
    ("value", "text"), [(0.0499, "0.0499"), (0.00123, "0.00123"), (1.0, "1.00"), (1e-5, "< 0.001")]
)
def test_p_values_have_three_significant_digits(value: float, text: str):
    assert format_p_value(value) == text
