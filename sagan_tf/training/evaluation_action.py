"""Metrics while training: recorded, the best checkpoint kept, a warning where the run seems to collapse."""

from __future__ import annotations

import json
import logging
import pathlib
from collections.abc import Callable
from typing import Any, Protocol

import keras
import tensorflow as tf

from sagan_tf.training.checkpoints import Checkpoints
from sagan_tf.training.loop import StepReport
from sagan_tf.training.run_directory import write_atomically

_logger = logging.getLogger("sagan_tf")


class Result(Protocol):
    """What an evaluation gives; `evaluation.evaluator.Result` is one."""

    @property
    def lower_is_better(self) -> bool:
        """Of the first metric."""

    def record(self) -> dict[str, Any]:
        """Everything, as JSON has it."""

    def scalars(self) -> dict[str, float]:
        """Single numbers by name, the first metric's first."""


Evaluation = Callable[[keras.Model], Result]


class Evaluate:
    """Evaluates the averaged generator.

    Args:
        evaluation: gives the metrics of a generator.
        generator: the averaged one.
        metrics_path: `metrics.jsonl`.
        writer: TensorBoard's.
        best: saves the state where the best one is kept.
        best_path: a JSON file that says which one that is, so that a resumed run goes on from it.
        patience: evaluations in a row that the first metric may get worse before a warning.
    """

    def __init__(
        self,
        evaluation: Evaluation,
        generator: keras.Model,
        metrics_path: pathlib.Path,
        writer: tf.summary.SummaryWriter,
        best: Checkpoints,
        best_path: pathlib.Path,
        patience: int,
    ) -> None:
        self._evaluation = evaluation
        self._generator = generator
        self._metrics_path = metrics_path
        self._writer = writer
        self._best = best
        self._best_path = best_path
        self._patience = patience
        self._last: float | None = None
        self._worse_in_a_row = 0

    def __call__(self, report: StepReport) -> None:
        result = self._evaluation(self._generator)
        scalars = result.scalars()
        record = {"step": report.step, "kind": "evaluation", "generator_weights": "ema"} | result.record()
        with self._metrics_path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")
        with self._writer.as_default(step=report.step):
            for name, value in scalars.items():
                tf.summary.scalar(f"evaluation/{name}", value)
        self._writer.flush()
        shown = "  ".join(f"{name} {value:.4f}" for name, value in scalars.items())
        _logger.info("evaluation at step %d: %s", report.step, shown)
        name, value = next(iter(scalars.items()))
        self._keep_if_best(name, value, result.lower_is_better, report.step)
        self._warn_of_collapse(name, value, result.lower_is_better)

    def _keep_if_best(self, name: str, value: float, lower_is_better: bool, step: int) -> None:
        before = self._read_best()
        is_best = before.get("metric") != name or _is_better(value, before["value"], lower_is_better)
        if is_best:
            self._best.save()
            write_atomically(self._best_path, json.dumps({"step": step, "metric": name, "value": value}) + "\n")
            _logger.info("best so far, kept in %s", self._best_path.parent)

    def _read_best(self) -> dict[str, Any]:
        try:
            return json.loads(self._best_path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}

    def _warn_of_collapse(self, name: str, value: float, lower_is_better: bool) -> None:
        worse = self._last is not None and _is_better(self._last, value, lower_is_better)
        self._worse_in_a_row = self._worse_in_a_row + 1 if worse else 0
        self._last = value
        if self._worse_in_a_row >= self._patience:
            _logger.warning(
                "%s has got worse in %d evaluations in a row: the run may be collapsing; the best checkpoint so far is "
                "in %s",
                name,
                self._worse_in_a_row,
                self._best_path.parent,
            )


def _is_better(value: float, other: float, lower_is_better: bool) -> bool:
    return value < other if lower_is_better else value > other
