"""Comparisons of two settings of a study by paired t-tests over the seeds, and of the runs that died."""

from __future__ import annotations

import dataclasses
import itertools
import math
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from tools.ablations.deaths import Deaths, compute_fisher_p_value, count_deaths
from tools.ablations.metric_text import list_metrics_of
from tools.ablations.outcomes import BEST, LAST, Outcome, group_by_setting
from tools.ablations.paired_test import PairedTest, adjust_by_holm, compute_t_quantile
from tools.ablations.scales import DIFFERENCE, RATIO, Scale
from tools.ablations.studies import Pair
from tools.comparisons.summaries import format_csv_rows

_CSV_COLUMNS = (
    "metric", "moment", "scale", "first", "second", "first_mean", "second_mean", "seeds", "estimate", "deviation", "t",
    "critical_t", "p", "holm_p", "low", "high", "first_died", "second_died", "fisher_p", "note",
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Comparison:
    """A metric of two settings at one moment of their runs.

    Attributes:
        pair: Names of the settings.
        scale: The scale, `RATIO` or `DIFFERENCE`.
        means: Means of both over the seeds for which both have a value; empty without such seeds, or if a run that has
            ended has no value.
        seeds: Number of these seeds, and number of all.
        deaths: Numbers of runs that died.
        test: The test of the second against the first, with `RATIO` that of the logarithms; None if they are not
            compared.
        reason: Why they are not; empty if they are, or if this is because of runs that died.
        holm_p: The p value of the test, adjusted for the number of pairs; None if there is no p value.
    """

    pair: Pair
    scale: Scale
    means: tuple[float, ...]
    seeds: tuple[int, int]
    deaths: Deaths
    test: PairedTest | None
    reason: str
    holm_p: float | None = None


def compare_settings(
    outcomes: Sequence[Outcome], pairs: Iterable[Pair], metric: str, moment: str, scale: Scale
) -> list[Comparison]:
    """Compare a metric of pairs of settings, and adjust the p values for the number of pairs.

    Args:
        outcomes: The outcomes of all cells.
        pairs: Names of the settings of each pair. All of them count for the adjustment, also those without a p value.
        metric: The metric.
        moment: `BEST` or `LAST`.
        scale: `RATIO` or `DIFFERENCE`.
    """
    groups = group_by_setting(outcomes)
    compared = [_compare(groups, pair, metric, moment, scale) for pair in pairs]
    tested = [index for index, each in enumerate(compared) if each.test and each.test.student]
    p_values = [each.test.student.p_value for each in compared if each.test and each.test.student]
    for index, p_value in zip(tested, adjust_by_holm(p_values, len(compared)), strict=True):
        compared[index] = dataclasses.replace(compared[index], holm_p=p_value)
    return compared


def _compare(groups: Mapping[str, Sequence[Outcome]], pair: Pair, metric: str, moment: str, scale: Scale) -> Comparison:
    runs = [[run for run in groups[name] if run.has_ended] for name in pair]
    deaths = count_deaths(*runs)
    by_seed = [{run.cell.seed: _get_value(run, metric, moment) for run in group} for group in runs]
    seeds = [seed for seed in by_seed[0] if all(math.isfinite(values.get(seed, math.nan)) for values in by_seed)]
    counts = len(seeds), max(len(groups[name]) for name in pair)
    # Runs that have ended without a value went wrong: means of only the others would be too good.
    if any(run.has_died and not math.isfinite(_get_value(run, metric, moment)) for run in itertools.chain(*runs)):
        return Comparison(pair, scale, (), counts, deaths, None, "")
    problem = _find_runs(pair, by_seed, "no finite value", lambda value: not math.isfinite(value))
    if not problem and scale.needs_positive_values:
        problem = _find_runs(pair, by_seed, "a value that is not above 0", lambda value: value <= 0.0)
    if problem:
        return Comparison(pair, scale, (), counts, deaths, None, f"not compared: {problem}")
    first, second = ([values[seed] for seed in seeds] for values in by_seed)
    means = (statistics.fmean(first), statistics.fmean(second)) if seeds else ()
    test = scale.compare(first, second)
    reason = "" if test else "not compared: fewer than two seeds have a value of both"
    return Comparison(pair, scale, means, counts, deaths, test, reason)


def _get_value(run: Outcome, metric: str, moment: str) -> float:
    return run.moments[moment].metrics.get(metric, math.nan)


def _find_runs(
    pair: Pair, by_seed: Iterable[Mapping[int, float]], problem: str, has_problem: Callable[[float], bool]
) -> str:
    """Return a problem and how many runs of which settings have it; empty if none has."""
    counts = [
        (name, sum(map(has_problem, values.values())), len(values)) for name, values in zip(pair, by_seed, strict=True)
    ]
    places = " and ".join(f"{count} of {total} runs of {name}" for name, count, total in counts if count)
    return places and f"{problem} in {places}"


def format_comparisons_csv(outcomes: Sequence[Outcome], pairs: Sequence[Pair], metric: str) -> str:
    """Format a line for each pair of settings, metric and moment.

    Args:
        outcomes: The outcomes of all cells.
        pairs: The pairs of the study, whose p values of the selecting metric are adjusted. The other pairs follow.
        metric: The selecting metric, whose scale is `RATIO`. That of other metrics, which may be 0, is `DIFFERENCE`.
    """
    known = {frozenset(pair) for pair in pairs}
    others = [pair for pair in itertools.combinations(group_by_setting(outcomes), 2) if frozenset(pair) not in known]
    rows: list[Sequence[Any]] = [_CSV_COLUMNS]
    for chosen, name, moment in itertools.product((pairs, others), list_metrics_of(outcomes), (BEST, LAST)):
        for each in compare_settings(outcomes, chosen, name, moment, RATIO if name == metric else DIFFERENCE):
            values = _collect_values(each) | {"metric": name, "moment": moment}
            if chosen is pairs and name == metric and each.holm_p is not None:
                values["holm_p"] = each.holm_p
            rows.append([values.get(column, "") for column in _CSV_COLUMNS])
    return format_csv_rows(rows)


def _collect_values(comparison: Comparison) -> dict[str, Any]:
    """Return the values of a comparison by column, without those that it does not have."""
    test, deaths, scale = comparison.test, comparison.deaths, comparison.scale
    described = deaths.describe()
    first, second = comparison.pair
    values: dict[str, Any] = {"scale": scale.name, "first": first, "second": second, "seeds": comparison.seeds[0]}
    values |= dict(zip(("first_mean", "second_mean"), comparison.means, strict=False))
    values |= {"first_died": deaths.first_died, "second_died": deaths.second_died}
    values |= {"fisher_p": compute_fisher_p_value(*deaths)} if described else {}
    reason = comparison.reason or ("equal for all seeds" if test and not test.student else "")
    values["note"] = "; ".join(filter(None, (reason, described)))
    if test is None:
        return values
    values |= {"estimate": scale.convert(test.mean), "deviation": test.deviation}
    values["critical_t"] = compute_t_quantile(test.count - 1)
    student = test.student
    if student is None:
        return values
    values |= {"low": scale.convert(student.low), "high": scale.convert(student.high)}
    return values | {"t": student.statistic, "p": student.p_value}
