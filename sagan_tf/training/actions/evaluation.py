"""Metrics while training: recorded, the best checkpoint kept, a warning where the run seems to collapse."""

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
from sagan_tf.text import read_text
from sagan_tf.training.actions.schedule import StepReport
from sagan_tf.training.actions.tensorboard import write_scalars

_logger = logging.getLogger("sagan_tf")

# Keys of a record: values that differ in one of these are not compared.
_PROTOCOL = ("num_samples", "extractor", "preprocessing", "reference", "seed", "evaluation_labels", "precision")
# Value of a record without this key: of an earlier version, or of a generator without labels.
_DEFAULT_LABELS = {"evaluation_labels": "uniform"}
# Types of the values in `best.json`. The other keys are absent until a value is finite, or in an earlier version.
_KINDS = {"metric": str, "protocol": dict, "worse_in_a_row": int, "last": int | float}
_OTHER_KINDS = {"value": int | float, "step": int, "last_step": int}


class Result(Protocol):
    """What an evaluation gives; `evaluation.result.Result` is one."""

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
        best_path: a JSON file beside it, for a resumed run: which one that is, and how the metric went since.
        kept: what that file said when the run began, see `read_best`.
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
        kept: Mapping[str, Any],
        patience: int,
    ) -> None:
        self._evaluation = evaluation
        self._generator = generator
        self._metrics_path = metrics_path
        self._writer = writer
        self._best = best
        self._best_path = best_path
        self._kept = dict(kept)
        self._patience = patience

    def __call__(self, report: StepReport) -> None:
        result = self._evaluation(self._generator)
        scalars = result.scalars()
        record = {"step": report.step, "kind": "evaluation", "generator_weights": "ema"} | result.record()
        shown = "  ".join(f"{name} {value:.4f}" for name, value in scalars.items())
        _logger.info("evaluation at step %d: %s", report.step, shown)  # first: the disk may have become full
        append_line(self._metrics_path, json.dumps(record))
        write_scalars(self._writer, report.step, {f"evaluation/{name}": value for name, value in scalars.items()})
        name, value = next(iter(scalars.items()))
        protocol = _DEFAULT_LABELS | {key: record[key] for key in _PROTOCOL if key in record}
        if (self._kept.get("metric"), self._kept.get("protocol")) != (name, protocol):
            if self._kept:
                _logger.info("evaluations by another metric or protocol do not count: the best one begins anew")
            self._kept = {"metric": name, "protocol": protocol, "worse_in_a_row": 0}
        self._follow(value, result.lower_is_better, report.step)

    def _follow(self, value: float, lower_is_better: bool, step: int) -> None:
        """Keep the checkpoint if it is the best so far, and warn if the metric gets worse again and again."""
        worse = "last" in self._kept and not _is_at_least_as_good(value, self._kept["last"], lower_is_better)
        worse_in_a_row = self._kept["worse_in_a_row"] + 1 if worse else 0
        self._kept |= {"last": value, "last_step": step, "worse_in_a_row": worse_in_a_row}
        if math.isfinite(value) and (
            "value" not in self._kept or not _is_at_least_as_good(self._kept["value"], value, lower_is_better)
        ):
            self._best.save()
            self._kept |= {"step": step, "value": value}
            _logger.info("best so far, kept in %s", self._best_path.parent)
        write_atomically(self._best_path, json.dumps(self._kept) + "\n")
        if self._kept["worse_in_a_row"] >= self._patience:
            _logger.warning(
                "%s has got worse in %d evaluations in a row: the run may be collapsing; the best checkpoint so far is "
                "in %s",
                self._kept["metric"],
                self._kept["worse_in_a_row"],
                self._best_path.parent,
            )


def read_best(path: pathlib.Path, precision: str) -> dict[str, Any]:
    """Read `best.json`.

    Args:
        path: The file.
        precision: The run's precision policy. A record without a precision is of an earlier version, in which the
            generator computed an evaluation as it does in training.

    Returns:
        Its content, with a complete protocol; empty if there is no such file or it is damaged.
    """
    try:
        kept = json.loads(read_text(path))
    except (OSError, ValueError, UserError):
        return {}
    if not isinstance(kept, dict) or not _KINDS.keys() <= kept.keys():
        return {}
    if not all(isinstance(kept[key], kind) for key, kind in (_KINDS | _OTHER_KINDS).items() if key in kept):
        return {}
    defaults = _DEFAULT_LABELS | {"precision": keras.DTypePolicy(precision).compute_dtype}
    return kept | {"protocol": defaults | kept["protocol"]}


def _is_at_least_as_good(value: float, other: float, lower_is_better: bool) -> bool:
    """Return whether a value is at least as good as another; one that is not a number is worse than all."""
    if math.isnan(value) or math.isnan(other):
        return math.isnan(other)
    return value <= other if lower_is_better else value >= other
