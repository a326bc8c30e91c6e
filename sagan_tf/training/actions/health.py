"""Actions that watch the health of a run: a sign that appears is warned of, or ends the run."""

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
"""Steps with constant logits before a discriminator counts as dead: no batch of a run that went on had them."""

POLICIES: dict[str, Callable[[Sign], bool]] = {
    "warn": lambda sign: False,
    "stop_dead": lambda sign: sign.is_final,
    "stop": lambda sign: True,
}
"""Values of `--on_unhealthy`: whether a sign ends the run."""


class UnhealthyError(UserError):
    """Raised where a run shows a sign for which it is to stop."""


class SignWatch:
    """Follows the signs of a run through readings.

    A sign that appears is warned of or ends the run; it is warned of again only if it was absent in between. A run that
    is resumed follows its signs from the beginning, and warns again of one that is still there.

    Args:
        stops: Whether a sign ends the run, see `POLICIES`.
        save: Saves a checkpoint and returns its path. It is called before a sign ends the run, unless that sign is
            final: then the checkpoints from before are the ones to keep.
    """

    def __init__(self, stops: Callable[[Sign], bool], save: Callable[[], str]) -> None:
        self._stops = stops
        self._save = save
        self._readings_in_a_row: dict[str, int] = {}

    def follow(self, values: Values, step: int, hints: dict[str, str] | None = None) -> None:
        """Judge the signs whose scalars are among `values`; `hints` has what else a message says, by sign.

        Raises:
            UnhealthyError: A sign ends the run.
        """
        for name, sign in SIGNS.items():
            unhealthy = sign.judge(values)
            if unhealthy is None:
                if sign.scalar in values:  # not defined at this step: readings before and after are not in a row
                    self._readings_in_a_row[name] = 0
                continue
            in_a_row = self._readings_in_a_row.get(name, 0) + 1 if unhealthy else 0
            self._readings_in_a_row[name] = in_a_row
            if in_a_row == sign.patience:
                self._report(name, sign, values[sign.scalar], step, (hints or {}).get(name, ""))

    def _report(self, name: str, sign: Sign, value: float, step: int, hint: str) -> None:
        shown = f"{name} at step {step}: {sign.scalar} is {value:.4g}, healthy is {sign.healthy}"
        message = f"{shown}. {sign.meaning} {hint}{sign.advice}"
        if self._stops(sign):
            saved = "" if sign.is_final else f" Saved {self._save()}: --on_unhealthy=stop_dead goes on from there."
            raise UnhealthyError(f"on_unhealthy: {message}{saved}")
        _logger.warning("health: %s", message)


class WatchDiscriminator:
    """Notices a dead discriminator by the training metrics alone, after every call of the inner loop.

    It comes before what saves, so that no checkpoint of a dead discriminator replaces one from before.

    Args:
        watch: Follows the sign.
        checkpoints: Checkpoints of the run.
        directory: Where the checkpoints are for all workers; one that is not the chief saves elsewhere.
    """

    def __init__(self, watch: SignWatch, checkpoints: Checkpoints, directory: pathlib.Path) -> None:
        self._watch = watch
        self._checkpoints = checkpoints
        self._directory = directory
        self._dead_steps = 0
        self._last_alive: int | None = None

    def __call__(self, report: StepReport) -> None:
        if not is_dead(report.metrics):
            # It told images apart in some of these steps, and never does again after death: it lived at their start.
            self._dead_steps, self._last_alive = 0, report.step - report.num_steps
        else:
            self._dead_steps += report.num_steps
        if not 0 < self._dead_steps < _MIN_DEAD_STEPS:
            self._watch.follow(report.metrics, report.step, {DEAD: self._checkpoint_hint()})

    def _checkpoint_hint(self) -> str:
        kept = None if self._last_alive is None else self._checkpoints.newest_until(self._last_alive)
        if kept is None:
            return "No checkpoint is known to be from before. "
        return f"The last checkpoint that is surely from before is {self._directory / pathlib.Path(kept).name}. "


class Health:
    """Reads the health of the networks: a line in `metrics.jsonl`, scalars in TensorBoard, and the signs.

    Args:
        readers: Each reads some scalars; None stands for one that is not defined at this step.
        watch: Follows the signs.
        path: Path of `metrics.jsonl`.
        writer: TensorBoard's.
    """

    def __init__(
        self,
        readers: Sequence[Callable[[], Mapping[str, float | None]]],
        watch: SignWatch,
        path: pathlib.Path,
        writer: tf.summary.SummaryWriter,
    ) -> None:
        self._readers = tuple(readers)
        self._watch = watch
        self._path = path
        self._writer = writer

    def __call__(self, report: StepReport) -> None:
        metrics = report.metrics  # means over many more images than the fixed batch has
        gap = metrics["real_logits"] - metrics["fake_logits"]
        values: dict[str, float | None] = {LOGIT_GAP: gap}
        for read in self._readers:
            values |= read()
        append_line(self._path, json.dumps({"step": report.step, "kind": "health"} | values))
        write_scalars(self._writer, report.step, {name: one for name, one in values.items() if one is not None})
        self._watch.follow(values, report.step)
