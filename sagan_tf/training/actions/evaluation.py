"""The action that evaluates the EMA generator and keeps the best checkpoint."""

from __future__ import annotations

import json
import logging
import math
import pathlib
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import tensorflow as tf

from sagan_tf.errors import UserError
from sagan_tf.files import append_line, write_atomically
from sagan_tf.keras_backend import keras
from sagan_tf.runs.checkpoints import Checkpoints
from sagan_tf.runs.evaluation_protocol import DEFAULT_PROTOCOL, DURING_TRAINING, get_protocol
from sagan_tf.text import read_text
from sagan_tf.training.actions.schedule import StepReport
from sagan_tf.training.actions.tensorboard import write_scalars

_logger = logging.getLogger("sagan_tf")

# Types of the values in `best.json`. Optional keys are absent until a value is finite, and in earlier versions.
_REQUIRED_TYPES = {"metric": str, "protocol": dict, "worse_in_a_row": int, "last": int | float}
_OPTIONAL_TYPES = {"value": int | float, "step": int, "last_step": int}


class Result(Protocol):
    """Interface of the result of an evaluation, such as `evaluation.result.Result`."""

    @property
    def lower_is_better(self) -> bool:
        """Return whether lower values of the first metric are better."""

    def to_record(self) -> dict[str, Any]:
        """Return all values as JSON types."""

    def to_scalars(self) -> dict[str, float]:
        """Return the scalars by name, beginning with those of the first metric."""


Evaluation = Callable[[keras.Model], Result]
"""Computes the metrics of a generator."""


class Evaluate:
    """Action that evaluates the EMA generator.

    Args:
        evaluation: The evaluation of a generator.
        generator: The EMA generator.
        metrics_path: The path of `metrics.jsonl`.
        writer: The TensorBoard writer.
        best: The checkpoints of the best state so far.
        best_path: The path of `best.json` beside these checkpoints. It records the best evaluation and the trend of the
            metric, for a resumed run.
        best_record: The content of that file when the run started, see `read_best`.
        patience: The number of consecutive evaluations with a worse first metric that leads to a warning.
    """

    def __init__(
        self,
        evaluation: Evaluation,
        generator: keras.Model,
        metrics_path: pathlib.Path,
        writer: tf.summary.SummaryWriter,
        best: Checkpoints,
        best_path: pathlib.Path,
        best_record: Mapping[str, Any],
        patience: int,
    ) -> None:
        self._evaluation = evaluation
        self._generator = generator
        self._metrics_path = metrics_path
        self._writer = writer
        self._best = best
        self._best_path = best_path
        self._best_record = dict(best_record)
        self._patience = patience

    def __call__(self, report: StepReport) -> None:
        """Evaluate, record the values and keep the checkpoint if it is the best so far."""
        result = self._evaluation(self._generator)
        scalars = result.to_scalars()
        record = {"step": report.step, "kind": "evaluation", "generator_weights": "ema", DURING_TRAINING: True}
        record |= result.to_record()
        shown = "  ".join(f"{name} {value:.4f}" for name, value in scalars.items())
        _logger.info("evaluation at step %d: %s", report.step, shown)  # before writing, in case the disk is full
        append_line(self._metrics_path, json.dumps(record))
        write_scalars(self._writer, report.step, {f"evaluation/{name}": value for name, value in scalars.items()})
        name, value = next(iter(scalars.items()))
        protocol = get_protocol(record)
        if (self._best_record.get("metric"), self._best_record.get("protocol")) != (name, protocol):
            if self._best_record:
                _logger.info("the metric or its protocol has changed: earlier evaluations are not compared")
            self._best_record = {"metric": name, "protocol": protocol, "worse_in_a_row": 0}
        self._update_best(value, result.lower_is_better, report.step)

    def _update_best(self, value: float, lower_is_better: bool, step: int) -> None:
        """Keep the checkpoint if it is the best so far, and warn of a collapse."""
        is_worse = "last" in self._best_record and not _is_at_least_as_good(
            value, self._best_record["last"], lower_is_better
        )
        worse_in_a_row = self._best_record["worse_in_a_row"] + 1 if is_worse else 0
        self._best_record |= {"last": value, "last_step": step, "worse_in_a_row": worse_in_a_row}
        if math.isfinite(value) and (
            "value" not in self._best_record
            or not _is_at_least_as_good(self._best_record["value"], value, lower_is_better)
        ):
            self._best.save()
            self._best_record |= {"step": step, "value": value}
            _logger.info("best so far, kept in %s", self._best_path.parent)
        write_atomically(self._best_path, json.dumps(self._best_record) + "\n", durable=True)
        if self._best_record["worse_in_a_row"] >= self._patience:
            _logger.warning(
                "%s has become worse in %d consecutive evaluations: the run may be collapsing; the best checkpoint is "
                "in %s",
                self._best_record["metric"],
                self._best_record["worse_in_a_row"],
                self._best_path.parent,
            )


def read_best(path: pathlib.Path, precision: str) -> dict[str, Any]:
    """Read `best.json`.

    Args:
        path: The path of the file.
        precision: The precision policy of the run. It completes records of earlier versions, in which the generator
            computed evaluations in the precision of training.

    Returns:
        The content with a complete protocol; empty if the file does not exist or is damaged.
    """
    try:
        record = json.loads(read_text(path))
    except (OSError, ValueError, UserError):
        return {}
    if not isinstance(record, dict) or not _REQUIRED_TYPES.keys() <= record.keys():
        return {}
    types = _REQUIRED_TYPES | _OPTIONAL_TYPES
    if not all(isinstance(record[key], value_type) for key, value_type in types.items() if key in record):
        return {}
    defaults = DEFAULT_PROTOCOL | {"precision": keras.DTypePolicy(precision).compute_dtype}
    return record | {"protocol": defaults | record["protocol"]}


def _is_at_least_as_good(value: float, reference: float, lower_is_better: bool) -> bool:
    """Return whether a value is at least as good as a reference.

    NaN is worse than any number.
    """
    if math.isnan(value) or math.isnan(reference):
        return math.isnan(reference)
    return value <= reference if lower_is_better else value >= reference
