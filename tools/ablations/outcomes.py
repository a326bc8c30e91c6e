"""Outcomes of cells: their metrics at the best and at the last step, from the stored runs."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tools.comparisons.cells import Cell
from tools.comparisons.records import FINISHED, NOT_STARTED, UNHEALTHY, flatten_metrics, read_run_records


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What is known of a cell.

    Attributes:
        cell: The cell.
        status: Status of its record, or `NOT_STARTED`.
        record: Its record; empty if it was not started.
        evaluations: Metrics by name at each step at which the EMA generator was evaluated.
        best_step: Step with the lowest value of the selecting metric; None without an evaluation. Also a run that
            training stopped as unhealthy has a best step.
        last_step: Step of the last evaluation of a finished run; None for a run that has not finished.
    """

    cell: Cell
    status: str
    record: Mapping[str, Any]
    evaluations: Mapping[int, Mapping[str, float]]
    best_step: int | None
    last_step: int | None

    @property
    def best(self) -> Mapping[str, float]:
        """Metrics at the best step; empty without an evaluation."""
        return {} if self.best_step is None else self.evaluations[self.best_step]

    @property
    def last(self) -> Mapping[str, float]:
        """Metrics at the last step; empty if the run has not finished."""
        return {} if self.last_step is None else self.evaluations[self.last_step]


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
    record = cell.read_record() or {}
    status = record.get("status", NOT_STARTED)
    evaluations = dict(_read_evaluations(cell))
    last_step = None
    if status == FINISHED:
        last_step = record["step"]
        evaluations[last_step] = record["values"]
    values = {step: metrics.get(metric, math.nan) for step, metrics in evaluations.items()}
    finite = [step for step, value in values.items() if math.isfinite(value)]
    ended = status in (FINISHED, UNHEALTHY) and finite
    best_step = min(finite, key=lambda step: values[step]) if ended else None
    return Outcome(cell, status, record, dict(sorted(evaluations.items())), best_step, last_step)


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
