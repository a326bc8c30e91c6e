"""Actions that monitor the health of a run.

A sign of an unhealthy run leads to a warning or ends the run.
"""

from __future__ import annotations

import json
import logging
import pathlib
from collections.abc import Callable, Mapping, Sequence

import tensorflow as tf

from sagan_tf.errors import UserError
from sagan_tf.files import append_line
from sagan_tf.runs.checkpoints import Checkpoints
from sagan_tf.training.actions.schedule import StepReport
from sagan_tf.training.actions.tensorboard import write_scalars
from sagan_tf.training.health.signs import DEAD, LOGIT_GAP, SIGNS, Sign, Values, is_dead

_logger = logging.getLogger("sagan_tf")
_MIN_DEAD_STEPS = 10
"""Number of steps with constant logits from which a discriminator counts as dead. No batch of a run that continued to
learn had constant logits."""

POLICIES: dict[str, Callable[[Sign], bool]] = {
    "warn": lambda sign: False,
    "stop_dead": lambda sign: sign.is_final,
    "stop": lambda sign: True,
}
"""Values of `--on_unhealthy`, each with a function that returns whether a sign ends the run."""


class UnhealthyError(UserError):
    """Raised if a run shows a sign for which `--on_unhealthy` stops it."""


class SignMonitor:
    """Monitor of the signs of a run over its readings.

    A sign that appears leads to a warning or ends the run. A second warning follows only if the sign was absent in
    between. A resumed run starts anew, and warns again of a sign that is still present.

    Args:
        is_stopping: Returns whether a sign ends the run, see `POLICIES`.
        save: Saves a checkpoint and returns its path. It is called before a sign ends the run, unless the sign is
            final: then the earlier checkpoints are the ones to keep.
    """

    def __init__(self, is_stopping: Callable[[Sign], bool], save: Callable[[], str]) -> None:
        self._is_stopping = is_stopping
        self._save = save
        self._readings_in_a_row: dict[str, int] = {}

    def check(
        self,
        values: Values,
        step: int,
        hints: dict[str, str] | None = None,
        compute_worker_maximum: Callable[[float], float] = float,
    ) -> None:
        """Check the signs whose scalars are among the values.

        Args:
            values: Scalars by name.
            step: The step of the values.
            hints: Further sentences for the message of a sign, by the name of the sign.
            compute_worker_maximum: Computes the maximum of a number over all workers that check at this step; by
                default this worker is the only one, or all of them have the same values. With several workers, all of
                them end the run for a sign that one of them has.

        Raises:
            UnhealthyError: A sign ends the run.
        """
        stopping = 0
        for number, (name, sign) in enumerate(SIGNS.items(), start=1):
            if not self._appears(name, sign, values):
                continue
            if self._is_stopping(sign):
                stopping = stopping or number
            else:
                _logger.warning("health: %s", _describe(name, sign, values, step, hints))
        stopping = int(compute_worker_maximum(stopping))
        if stopping:
            name, sign = list(SIGNS.items())[stopping - 1]
            saved = "" if sign.is_final else f" Saved {self._save()}; --on_unhealthy=stop_dead resumes from there."
            raise UnhealthyError(f"on_unhealthy: {_describe(name, sign, values, step, hints)}{saved}")

    def _appears(self, name: str, sign: Sign, values: Values) -> bool:
        """Count a reading, and return whether it is the last of the consecutive readings that a sign needs."""
        is_unhealthy = sign.check(values)
        if is_unhealthy is None:
            if sign.scalar in values:  # undefined at this step: readings before and after are not consecutive
                self._readings_in_a_row[name] = 0
            return False
        self._readings_in_a_row[name] = self._readings_in_a_row.get(name, 0) + 1 if is_unhealthy else 0
        return self._readings_in_a_row[name] == sign.patience


def _describe(name: str, sign: Sign, values: Values, step: int, hints: dict[str, str] | None) -> str:
    value = values.get(sign.scalar)
    read = "was read by the chief worker" if value is None else f"is {value:.4g}"
    shown = f"{name} at step {step}: {sign.scalar} {read}, the healthy range is {sign.healthy}"
    return f"{shown}. {sign.meaning} {(hints or {}).get(name, '')}{sign.advice}"


class DiscriminatorMonitor:
    """Action that detects a dead discriminator from the training metrics.

    It runs after every call of the inner loop, and before the actions that save, so that no checkpoint of a dead
    discriminator replaces an earlier one.

    Args:
        monitor: The monitor of the signs.
        checkpoints: The checkpoints of the run.
        directory: The directory of the checkpoints of the chief; the other workers save elsewhere.
    """

    def __init__(self, monitor: SignMonitor, checkpoints: Checkpoints, directory: pathlib.Path) -> None:
        self._monitor = monitor
        self._checkpoints = checkpoints
        self._directory = directory
        self._dead_steps = 0
        self._last_alive: int | None = None

    def __call__(self, report: StepReport) -> None:
        """Count consecutive steps with constant logits and check the sign."""
        if not is_dead(report.metrics):
            # Logits differed in some of these steps, and never do after death: it was alive at the first of them.
            self._dead_steps, self._last_alive = 0, report.step - report.num_steps
        else:
            self._dead_steps += report.num_steps
        if not 0 < self._dead_steps < _MIN_DEAD_STEPS:
            self._monitor.check(report.metrics, report.step, {DEAD: self._format_checkpoint_hint()})

    def _format_checkpoint_hint(self) -> str:
        path = None if self._last_alive is None else self._checkpoints.find_newest_until(self._last_alive)
        if path is None:
            return "No checkpoint is certain to precede it. "
        return f"The last checkpoint that is certain to precede it is {self._directory / pathlib.Path(path).name}. "


class HealthMonitor:
    """Action that records the health of the networks and checks the signs.

    Args:
        readers: Functions that read some scalars each; None for a scalar that is undefined at this step.
        monitor: The monitor of the signs.
        path: The path of `metrics.jsonl`.
        writer: The TensorBoard writer.
        compute_worker_maximum: See `SignMonitor.check`.
    """

    def __init__(
        self,
        readers: Sequence[Callable[[], Mapping[str, float | None]]],
        monitor: SignMonitor,
        path: pathlib.Path,
        writer: tf.summary.SummaryWriter,
        compute_worker_maximum: Callable[[float], float] = float,
    ) -> None:
        self._readers = tuple(readers)
        self._monitor = monitor
        self._path = path
        self._writer = writer
        self._compute_worker_maximum = compute_worker_maximum

    def __call__(self, report: StepReport) -> None:
        """Read the scalars, record them and check the signs."""
        metrics = report.metrics  # means over many more images than the fixed batch has
        gap = metrics["real_logits"] - metrics["fake_logits"]
        values: dict[str, float | None] = {LOGIT_GAP: gap}
        for read in self._readers:
            values |= read()
        append_line(self._path, json.dumps({"step": report.step, "kind": "health"} | values))
        write_scalars(self._writer, report.step, {name: value for name, value in values.items() if value is not None})
        self._monitor.check(values, report.step, compute_worker_maximum=self._compute_worker_maximum)
