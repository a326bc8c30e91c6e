"""The action that writes the training metrics to `metrics.jsonl` and TensorBoard."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Callable

import tensorflow as tf

from sagan_tf.files import append_line
from sagan_tf.runs.metrics_log import drop_lines_after
from sagan_tf.training.actions.schedule import StepReport, next_multiple
from sagan_tf.training.actions.tensorboard import write_scalars


class Scalars:
    """Action that writes the means of the training metrics and further scalars.

    The means are over the steps since the last line.

    Args:
        path: The path of `metrics.jsonl`. Lines after `step` are removed, because a resumed run writes them again.
        writer: The TensorBoard writer.
        every: The number of steps between lines.
        images_per_step: The number of real images in a step.
        step: The number of steps done when the loop starts.
        read_extra: Reads further scalars by name.
    """

    def __init__(
        self,
        path: pathlib.Path,
        writer: tf.summary.SummaryWriter,
        *,
        every: int,
        images_per_step: int,
        step: int,
        read_extra: Callable[[], dict[str, float]],
    ) -> None:
        self._path = path
        self._writer = writer
        self._every = every
        self._images_per_step = images_per_step
        self._read_extra = read_extra
        self._reports: list[StepReport] = []
        drop_lines_after(path, step)

    def next_step(self, step: int) -> int:
        """Return the step of the next line."""
        return next_multiple(self._every, step)

    def __call__(self, report: StepReport) -> None:
        """Collect the report, and write a line if it is due."""
        self._reports.append(report)
        if not report.last and report.step % self._every:
            return
        values = self._compute_means() | self._read_extra()
        self._reports.clear()
        line = {"step": report.step, "kind": "train"} | values
        append_line(self._path, json.dumps(line))
        write_scalars(self._writer, report.step, values)

    def _compute_means(self) -> dict[str, float]:
        steps = sum(report.num_steps for report in self._reports)
        seconds = sum(report.seconds for report in self._reports)
        means = {
            name: sum(report.metrics[name] * report.num_steps for report in self._reports) / steps
            for name in self._reports[0].metrics
        }
        return means | {
            "steps_per_second": steps / seconds,
            "images_per_second": steps * self._images_per_step / seconds,
        }
