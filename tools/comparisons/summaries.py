"""Means, curves and counts of cells as numbers and as text."""

from __future__ import annotations

import csv
import io
import math
import statistics
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from tools.comparisons.records import FAILED, FINISHED, NOT_STARTED, RUNNING, UNFINISHED, UNHEALTHY

Points = list[tuple[float, float]]
T = TypeVar("T")


def group_by_setting(cells: Iterable[T], get_setting: Callable[[T], str]) -> dict[str, list[T]]:
    """Return the cells of each setting, in the order of the first cell of each.

    Args:
        cells: Cells, or what describes them.
        get_setting: Returns the name of the setting of a cell.
    """
    groups: dict[str, list[T]] = {}
    for cell in cells:
        groups.setdefault(get_setting(cell), []).append(cell)
    return groups


def average_curve(by_run: Sequence[Mapping[float, float]]) -> tuple[Points, Points]:
    """Return the mean and the standard deviation over runs at the steps at which all of them have a finite value.

    A mean over only the runs that remain would become better whenever a bad run ends.

    Args:
        by_run: The values of each run by step.

    Returns:
        Pairs of step and mean, and pairs of step and standard deviation. There are no deviations of a single run.
    """
    finite = [{step: value for step, value in values.items() if math.isfinite(value)} for values in by_run]
    steps = sorted(set.intersection(*map(set, finite))) if finite else []
    values = {step: [run[step] for run in finite] for step in steps}
    means = [(step, statistics.fmean(values[step])) for step in steps]
    return means, [(step, statistics.stdev(values[step])) for step in steps] if len(finite) > 1 else []


def format_mean(values: Sequence[float | None], spec: str) -> str:
    """Format the mean and the standard deviation of the values that are known, and their number if some are not.

    NaN, infinite and missing values are not known. Without a known value, the result is `-`.
    """
    known = [value for value in values if value is not None and math.isfinite(value)]
    if not known:
        return "-"
    mean = format(statistics.fmean(known), spec)
    mean = f"{mean} ± {statistics.stdev(known):{spec}}" if len(known) > 1 else mean
    return mean if len(known) == len(values) else f"{mean} (n={len(known)})"


def format_counts(statuses: Sequence[str], omitted: Collection[str] = ()) -> str:
    """Format how many cells have finished, and how many have each other status that is not omitted."""
    parts = [f"{statuses.count(FINISHED)} of {len(statuses)}"]
    for status in (UNHEALTHY, FAILED, RUNNING, UNFINISHED, NOT_STARTED):
        parts += [f"{statuses.count(status)} {status}"] if status in statuses and status not in omitted else []
    return ", ".join(parts)


def format_csv_rows(rows: Iterable[Sequence[Any]]) -> str:
    """Format rows as the text of a CSV file."""
    output = io.StringIO()
    csv.writer(output, lineterminator="\n").writerows(rows)
    return output.getvalue()


def format_count(number: int, noun: str) -> str:
    """Return a number with a noun, in the plural unless the number is 1."""
    plural = f"{noun}es" if noun.endswith("s") else f"{noun}s"
    return f"{number:,} {noun if number == 1 else plural}"
