"""Outcomes of cells: their metrics at the best and at the last step, from the stored runs."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sagan_tf.runs.evaluation_protocol import select_training_evaluations
from sagan_tf.training.health.signs import DISTANCE_RATIO, MIN_DISTANCE_RATIO
from tools.ablations.portable import hide_paths_in_message
from tools.comparisons import summaries
from tools.comparisons.cells import Cell
from tools.comparisons.progress import read_current_record
from tools.comparisons.records import FAILED, FINISHED, NOT_STARTED, UNFINISHED, UNHEALTHY, flatten_metrics
from tools.comparisons.run_files import find_saved_step, read_run_records

BEST, LAST = "best", "last"
"""The two moments of a run whose metrics are compared."""
COLLAPSE_RATIO = 2.0
"""A run has collapsed if its selecting metric at the last step is more than this many times that at its best step. The
number was fixed before any study was run."""
_SIGN = re.compile(r"on_unhealthy: ([\w ,-]+)|received (non-finite .+? between steps \d+ and \d+)")
"""Sign and step in the message of a run that training stopped as unhealthy."""
_STEP_OF_SIGN = re.compile(r"(?: at step| between steps \d+ and) (\d+)")


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
        has_collapsed: Whether the selecting metric at the last step is more than `COLLAPSE_RATIO` times that at the
            best step; None if the run has not finished, has no finite value before its last step, or NaN at that step.
        sample_distance_ratio: Distance of two samples of a class divided by that of two real images, in the last health
            check of a run that has finished or died; None if the run has not ended or does not have it.
    """

    cell: Cell
    status: str
    record: Mapping[str, Any]
    evaluations: Mapping[int, Mapping[str, float]]
    moments: Mapping[str, Moment]
    has_collapsed: bool | None = None
    sample_distance_ratio: float | None = None

    @property
    def has_died(self) -> bool:
        """Return whether training stopped the run as unhealthy."""
        return self.status == UNHEALTHY

    @property
    def has_ended(self) -> bool:
        """Return whether the run has finished or died."""
        return _is_end(self.status)

    @property
    def has_similar_samples(self) -> bool | None:
        """Return whether the samples of a class are nearly the same image at the end; None if this is not known.

        The limit is that of the health check and was fixed before any study was run.
        """
        ratio = self.sample_distance_ratio
        return None if ratio is None else ratio < MIN_DISTANCE_RATIO


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
    lines = read_run_records(cell.run_dir)
    evaluations = {line["step"]: flatten_metrics(line) for line in select_training_evaluations(lines)}
    last_step = None
    if status == FINISHED:
        last_step = record["step"]
        evaluations[last_step] = record["values"]
    values = {step: metrics.get(metric, math.nan) for step, metrics in evaluations.items()}
    finite = [step for step, value in values.items() if math.isfinite(value)]
    best_step = min(finite, key=lambda step: values[step]) if _is_end(status) and finite else None
    steps = {BEST: best_step, LAST: last_step}
    moments = {name: Moment(step, {} if step is None else evaluations[step]) for name, step in steps.items()}
    best, last = (moments[name].metrics.get(metric, math.nan) for name in (BEST, LAST))
    # Without a value before the last step, the best step is the last. NaN cannot be compared with the best value.
    is_known = last_step is not None and any(step < last_step for step in finite) and not math.isnan(last)
    has_collapsed = last > COLLAPSE_RATIO * best if is_known else None
    ratio = _find_distance_ratio(lines) if _is_end(status) else None
    return Outcome(cell, status, record, dict(sorted(evaluations.items())), moments, has_collapsed, ratio)


def _is_end(status: str) -> bool:
    return status in (FINISHED, UNHEALTHY)


def _find_distance_ratio(lines: Iterable[Mapping[str, Any]]) -> float | None:
    """Return the distance ratio of the samples in the last health check of a run; None if it has no finite number."""
    checks = [line for line in lines if line["kind"] == "health"]
    ratio = checks[-1].get(DISTANCE_RATIO) if checks else None
    return ratio if ratio is not None and math.isfinite(ratio) else None


def group_by_setting(outcomes: Iterable[Outcome]) -> dict[str, list[Outcome]]:
    """Return the outcomes of each setting."""
    return summaries.group_by_setting(outcomes, lambda outcome: outcome.cell.setting.name)


def describe_ending(outcome: Outcome) -> str:
    """Return a few words about how a cell has ended or where it is, and why it failed, without paths.

    Args:
        outcome: The outcome of a cell that has not finished.
    """
    if outcome.status == UNFINISHED:
        return f"{outcome.status}, continues from step {find_saved_step(outcome.cell.run_dir):,}"
    if outcome.has_died:
        sign = _find_sign(outcome)
        return sign if _STEP_OF_SIGN.search(sign) else f"{sign} at step {find_death_step(outcome):,}"
    if outcome.status == NOT_STARTED:
        return outcome.status
    message = str(outcome.record.get("message", ""))
    reason = f": {hide_paths_in_message(message, outcome.cell.directory)}" if outcome.status == FAILED else ""
    return f"{outcome.status} at step {_find_logged_step(outcome):,}{reason}"


def find_death_step(outcome: Outcome) -> int:
    """Return the step at which training stopped a run as unhealthy; without it in the message, the last of its log.

    Args:
        outcome: The outcome of a cell that died.
    """
    match = _STEP_OF_SIGN.search(_find_sign(outcome))
    return int(match[1]) if match else _find_logged_step(outcome)


def _find_sign(outcome: Outcome) -> str:
    """Return sign and step in the message of a run that died, or its status."""
    match = _SIGN.search(str(outcome.record.get("message", "")))
    return next(filter(None, match.groups())).strip() if match else outcome.status


def _find_logged_step(outcome: Outcome) -> int:
    return max((line["step"] for line in read_run_records(outcome.cell.run_dir)), default=0)
