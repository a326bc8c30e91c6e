"""Outcomes of cells: their metrics at the best and at the last step, from the stored runs."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tools.comparisons.cells import Cell
from tools.comparisons.progress import read_current_record
from tools.comparisons.records import FINISHED, UNHEALTHY, flatten_metrics, read_run_records

BEST, LAST = "best", "last"
"""The two moments of a run whose metrics are compared."""


@dataclasses.dataclass(frozen=True)
class Moment:
    """A step of a run at which its metrics are compared.

    Attributes:
        step: The step; None if the run has none.
        metrics: Metrics by name; empty if the run has none.
    """

    step: int | None
    metrics: Mapping[str, float]


@dataclasses.dataclass(frozen=True)
class Outcome:
    """Status and metrics of a cell.

    Attributes:
        cell: The cell.
        status: Status of its record.
        record: Its record, see `read_current_record`.
        evaluations: Metrics by name at each step at which the EMA generator was evaluated.
        moments: `BEST`, the step with the lowest value of the selecting metric, and `LAST`, the last evaluation of a
            finished run. A run that training stopped as unhealthy has a best step, if it was evaluated before.
    """

    cell: Cell
    status: str
    record: Mapping[str, Any]
    evaluations: Mapping[int, Mapping[str, float]]
    moments: Mapping[str, Moment]


def read_outcomes(cells: Sequence[Cell], metric: str) -> list[Outcome]:
    """Read the outcomes of cells.

    Args:
        cells: The cells.
        metric: Name of the metric that selects the best step; lower is better.

    Raises:
        UserError: A record is damaged, or has another configuration or other steps.
    """
    return [_read_outcome(cell, metric) for cell in cells]


def _read_outcome(cell: Cell, metric: str) -> Outcome:
    record = read_current_record(cell)
    status = record["status"]
    evaluations = dict(_read_evaluations(cell))
    last_step = None
    if status == FINISHED:
        last_step = record["step"]
        evaluations[last_step] = record["values"]
    values = {step: metrics.get(metric, math.nan) for step, metrics in evaluations.items()}
    finite = [step for step, value in values.items() if math.isfinite(value)]
    ended = status in (FINISHED, UNHEALTHY) and finite
    best_step = min(finite, key=lambda step: values[step]) if ended else None
    steps = {BEST: best_step, LAST: last_step}
    moments = {name: Moment(step, {} if step is None else evaluations[step]) for name, step in steps.items()}
    return Outcome(cell, status, record, dict(sorted(evaluations.items())), moments)


def _read_evaluations(cell: Cell) -> Iterator[tuple[int, dict[str, float]]]:
    for line in read_run_records(cell.run_dir):
        if line["kind"] == "evaluation" and line.get("generator_weights", "ema") == "ema":
            yield line["step"], flatten_metrics(line)


def group_by_setting(outcomes: Sequence[Outcome]) -> dict[str, list[Outcome]]:
    """Return the outcomes of each setting."""
    groups: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        groups.setdefault(outcome.cell.setting.name, []).append(outcome)
    return groups
