"""Tests of the comparisons of two settings, from records that are made by hand."""

from __future__ import annotations

import csv
import math

import pytest

from tests.tools.ablations.toy_outcomes import write_cell
from tools.ablations.comparison_table import describe_power, make_comparisons_table
from tools.ablations.comparisons import compare_settings, format_comparisons_csv
from tools.ablations.metric_text import format_p_value
from tools.ablations.outcomes import BEST, LAST, Outcome, read_outcomes
from tools.ablations.scales import DIFFERENCE, RATIO

RECALL = "precision_recall10k/recall"


def read_settings(directory, **values: list[float]) -> list[Outcome]:
    """Return the outcomes of runs with these values at the last step, by setting and seed. Recall is half of them."""
    cells = [
        write_cell(directory, name, seed, [9.0, 9.0, value], others={RECALL: value / 2.0})
        for name, by_seed in values.items()
        for seed, value in enumerate(by_seed)
    ]
    return read_outcomes(cells, "fcd10k")


def read_csv(outcomes: list[Outcome], *pairs: tuple[str, str]) -> list[dict[str, str]]:
    return list(csv.DictReader(format_comparisons_csv(outcomes, pairs, "fcd10k").splitlines()))


def test_ratios_are_paired_by_seed(tmp_path):
    """The ratios are 1/2 and 1/8: mean and deviation of their logarithms are -2 log 2 and sqrt(2) log 2, and t is -2.

    With one degree of freedom, p is 1 - 2 / pi * atan(2), and half the interval is 12.706 log 2.
    """
    outcomes = read_settings(tmp_path, plain=[4.0, 16.0], wide=[2.0, 2.0])
    comparisons = compare_settings(outcomes, [("plain", "wide"), ("wide", "plain")], "fcd10k", LAST, RATIO)
    heading, row, swapped = make_comparisons_table(comparisons, "fcd10k")
    p = 1 - 2 / math.pi * math.atan(2)
    texts = [f"{p:.3f}", f"{2 * p:.3f}", "2"]
    assert row == ["plain", "wide", "10.00", "2.00", "0.25 (< 0.01 to > 1,000)", *texts] and len(heading) == len(row)
    assert swapped == ["wide", "plain", "2.00", "10.00", "4.00 (< 0.01 to > 1,000)", *texts]
    last = next(line for line in read_csv(outcomes, ("plain", "wide")) if line["moment"] == LAST)
    assert (last["first"], last["second"], last["scale"], last["first_mean"]) == ("plain", "wide", "ratio", "10.0")
    numbers = [float(last[name]) for name in ("estimate", "deviation", "t", "critical_t", "p", "holm_p")]
    assert numbers == pytest.approx([0.25, math.sqrt(2) * math.log(2), -2.0, 12.7062, p, p])
    ends = [float(last[name]) for name in ("low", "high")]
    assert ends == pytest.approx([2 ** (-2 - 12.7062), 2 ** (-2 + 12.7062)], rel=1e-3)


def test_other_metrics_are_compared_by_differences(tmp_path):
    """The differences of recall are -1 and -7, so that t is -4 / 3."""
    outcomes = read_settings(tmp_path, plain=[4.0, 16.0], wide=[2.0, 2.0])
    rows = read_csv(outcomes, ("plain", "wide"))
    assert [row["scale"] for row in rows] == ["ratio", "ratio", "difference", "difference"]
    assert (float(rows[3]["estimate"]), float(rows[3]["t"])) == pytest.approx((-4.0, -4.0 / 3.0))
    assert float(rows[3]["low"]) == pytest.approx(-4.0 - 3.0 * 12.7062, abs=1e-3) and rows[3]["holm_p"] == ""


def test_a_pair_with_a_run_that_died_is_compared_by_deaths(tmp_path):
    values = {"plain": [1.0, 2.0, 3.0], "wide": [2.0, 3.0, 5.0], "deep": [2.0, 4.0, 5.0]}
    outcomes = read_settings(tmp_path, **values)
    outcomes += read_outcomes([write_cell(tmp_path, "deep", seed, [], "unhealthy") for seed in (3, 4)], "fcd10k")
    pairs = [("plain", "wide"), ("deep", "plain")]
    for moment in (BEST, LAST):
        compared, died = compare_settings(outcomes, pairs, "fcd10k", moment, RATIO)
        assert compared.test and compared.test.student and died.test is None
        # Of 8 runs, 2 died: 28 divisions, with the weights 3, 15 and 10 for 0, 1 and 2 deaths of the first.
        text = f"died: 2 of 5 against 0 of 3 (Fisher's p {13 / 28:.3f})"
        assert make_comparisons_table([died], "fcd10k")[1][2:] == ["-", "-", text, "-", "-", "3 of 5"]
        # The pair without p stays in the number of pairs.
        assert compared.holm_p == pytest.approx(min(1.0, 2 * compared.test.student.p_value))
    rows = [row for row in read_csv(outcomes, *pairs) if (row["metric"], row["moment"]) == ("fcd10k", LAST)]
    assert [(row["first"], row["second"]) for row in rows] == [*pairs, ("wide", "deep")]
    assert [rows[1][name] for name in ("first_died", "second_died", "p", "note")] == ["2", "0", "", text]
    assert float(rows[1]["fisher_p"]) == pytest.approx(13 / 28) and rows[0]["fisher_p"] == rows[0]["note"] == ""


def test_a_run_that_died_after_an_evaluation_counts_at_the_best_step(tmp_path):
    outcomes = read_settings(tmp_path, plain=[2.0, 4.0, 4.0], wide=[1.0, 1.0])
    outcomes += read_outcomes([write_cell(tmp_path, "wide", 2, [0.5, 9.0, 9.0], "unhealthy", ends=2)], "fcd10k")
    (best,), (last,) = (
        compare_settings(outcomes, [("plain", "wide")], "fcd10k", moment, RATIO) for moment in (BEST, LAST)
    )
    row = make_comparisons_table([best], "fcd10k")[1]
    assert row[2:4] == ["3.333", "0.833"] and row[-1] == "3"  # the ratios are 1/2, 1/4 and 1/8
    assert row[4].startswith("0.25 (") and row[4].endswith("; died: 0 of 3 against 1 of 3 (Fisher's p 1.00)")
    assert last.test is None and make_comparisons_table([last], "fcd10k")[1][4].startswith("died: 0 of 3 against 1")


def test_pairs_without_a_p_value_stay_in_the_number_of_pairs(tmp_path):
    outcomes = read_settings(tmp_path, a=[1.0, 2.0, 3.0], b=[2.0, 4.2, 6.0], c=[1.5, 2.0, 3.6], d=[2.0, 4.0, 6.0])
    pairs = [("a", "b"), ("a", "c"), ("a", "d")]
    ab, ac, ad = compared = compare_settings(outcomes, pairs, "fcd10k", LAST, RATIO)
    assert ad.holm_p is None
    assert make_comparisons_table([ad], "fcd10k")[1][4:7] == ["2.00 (equal for all seeds)", "-", "-"]
    p_values = [each.test.student.p_value for each in (ab, ac) if each.test and each.test.student]
    assert p_values[0] < p_values[1] < 0.5
    assert (ab.holm_p, ac.holm_p) == pytest.approx((3 * p_values[0], 2 * p_values[1]))
    # With 2 degrees of freedom, t is sqrt(2) q / sqrt(1 - q^2) for q = 1 - 0.05 / 3.
    assert "3 seeds and 3 pairs" in describe_power(compared) and " 7.65." in describe_power(compared)


@pytest.mark.parametrize(
    ("second", "text"),
    [
        ([149.94, 149.93, 149.92], "0.99860 (0.99844 to 0.99877)"),
        ([7.5, 7.6, 7.4], "0.0500 (0.0483 to 0.0516)"),
        ([93.0, 90.0, 96.3], "0.620 (0.570 to 0.674)"),
    ],
)
def test_the_ends_of_an_interval_have_two_significant_digits(second: list[float], text: str, tmp_path):
    """Half the interval is about 4.303 / sqrt(3) times the relative deviation of the second."""
    outcomes = read_settings(tmp_path, plain=[150.14, 150.14, 150.14], wide=second)
    compared = compare_settings(outcomes, [("plain", "wide")], "fcd10k", LAST, RATIO)
    assert make_comparisons_table(compared, "fcd10k")[1][4] == text


@pytest.mark.parametrize("value", [math.nan, math.inf, 0.0, -0.001])
def test_a_finished_run_without_a_logarithm_is_not_left_out(value: float, tmp_path):
    outcomes = read_settings(tmp_path, plain=[1.0, 1.0, 1.0], wide=[2.0, value, 4.0])
    (compared,) = compare_settings(outcomes, [("plain", "wide")], "fcd10k", LAST, RATIO)
    assert compared.test is None and "1 of 3 runs of wide" in compared.reason and "plain" not in compared.reason
    (compared,) = compare_settings(outcomes, [("plain", "wide")], RECALL, LAST, DIFFERENCE)
    assert (compared.test is None) == (not math.isfinite(value))


def test_seeds_of_runs_that_have_not_ended_are_left_out_and_counted(tmp_path):
    outcomes = read_settings(tmp_path, plain=[1.0, 1.0, 1.0], wide=[2.0, 4.0], short=[5.0])
    outcomes += read_outcomes([write_cell(tmp_path, "wide", 2, [1.0, 1.0, 1.0], "unfinished")], "fcd10k")
    pairs = [("plain", "wide"), ("plain", "short")]
    compared, single = compare_settings(outcomes, pairs, "fcd10k", LAST, RATIO)
    assert compared.test is not None and compared.means == (1.0, 3.0)
    assert math.exp(compared.test.mean) == pytest.approx(math.sqrt(8))
    assert make_comparisons_table([compared], "fcd10k")[1][-1] == "2 of 3"
    assert single.test is None and "two seeds" in single.reason


@pytest.mark.parametrize(
    ("value", "text"), [(0.0499, "0.0499"), (0.00123, "0.00123"), (1.0, "1.00"), (1e-5, "< 0.001")]
)
def test_p_values_have_three_significant_digits(value: float, text: str):
    assert format_p_value(value) == text
