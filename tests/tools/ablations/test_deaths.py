"""Tests of the comparison of runs that died, against numbers that are worked out by hand."""

from __future__ import annotations

import pytest

from tests.tools.ablations.toy_outcomes import write_cell
from tools.ablations.deaths import Deaths, compute_fisher_p_value, count_deaths
from tools.ablations.outcomes import read_outcomes


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [
        ((3, 4, 1, 4), 34 / 70),  # Fisher's lady tasting tea: 16 + 16 + 1 + 1 of 70 divisions
        ((3, 5, 0, 5), 20 / 120),  # weights 10, 50, 50, 10
        ((5, 5, 0, 5), 2 / 252),
        ((3, 3, 0, 3), 2 / 20),
        ((0, 2, 3, 5), 15 / 35),  # weights 10, 20, 5 for 0, 1 and 2 deaths of the first: 10 + 5 are at most 10
        ((2, 2, 1, 5), 5 / 35),
        ((1, 3, 0, 3), 1.0),
        ((3, 3, 3, 3), 1.0),
        ((1, 1, 0, 0), 1.0),
    ],
)
def test_p_values_of_fishers_exact_test(numbers: tuple[int, int, int, int], expected: float):
    first_died, first_ended, second_died, second_ended = numbers
    assert compute_fisher_p_value(*numbers) == pytest.approx(expected)
    assert compute_fisher_p_value(second_died, second_ended, first_died, first_ended) == pytest.approx(expected)


def test_runs_that_have_not_ended_are_not_counted(tmp_path):
    statuses = {"plain": ["unhealthy", "finished", "unfinished"], "wide": ["finished", "failed", "unhealthy"]}
    plain, wide = (
        read_outcomes(
            [write_cell(tmp_path, name, seed, [1.0, 2.0, 3.0], each) for seed, each in enumerate(by_seed)], "fcd10k"
        )
        for name, by_seed in statuses.items()
    )
    assert count_deaths(plain, wide) == (1, 2, 1, 2)
    assert Deaths(0, 3, 0, 3).describe() == ""
    assert Deaths(3, 5, 0, 5).describe() == "died: 3 of 5 against 0 of 5 (Fisher's p 0.167)"
