"""What happens beside training: each action is a small callable that the outer loop calls with a `StepReport`."""

from __future__ import annotations

import json
import logging
import pathlib
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from sagan_tf.console import progress_bar
from sagan_tf.files import append_line, write_atomically
from sagan_tf.text import read_text
from sagan_tf.training.checkpoints import Checkpoints
from sagan_tf.training.loop import StepReport
from sagan_tf.training.tensorboard import at_step, write_scalars
from sagan_tf.visualization.image_grid import image_grid, save_png

_logger = logging.getLogger("sagan_tf")
_SECONDS_TO_LINE = 60.0


class Progress:
    """A progress bar on a terminal, plain lines elsewhere.

    Args:
        step: Steps done when the loop begins.
        num_steps: Steps of the whole run.
        images_per_step: Real images that a step takes.
        line_every: Steps between plain lines. There are more of them where these steps take longer than a minute.
        traces: Whether the first step also traces the graph, which is then named.
    """

    def __init__(self, step: int, num_steps: int, images_per_step: int, line_every: int, traces: bool = False) -> None:
        self._first_step = self._step = step
        self._num_steps = num_steps
        self._images_per_step = images_per_step
        self._line_every = line_every
        self._traces = traces
        self._began = self._printed = time.monotonic()
        self._bar = progress_bar(num_steps, initial=step, unit="step")

    def __call__(self, report: StepReport) -> None:
        speed = report.num_steps / report.seconds
        losses = {
            "images/s": f"{speed * self._images_per_step:.0f}",
            "d_loss": f"{report.metrics['discriminator_loss']:.3f}",
            "g_loss": f"{report.metrics['generator_loss']:.3f}",
        }
        traced, self._traces = self._traces, False
        self._step, new_steps = report.step, report.step - self._step
        if not self._bar.disable:
            self._bar.set_postfix(losses, refresh=False)
            self._bar.update(new_steps)
            return
        if traced:
            _logger.info("first step after %.0f s, tracing included", report.seconds)
        if report.last or report.step % self._line_every == 0 or time.monotonic() - self._printed >= _SECONDS_TO_LINE:
            self._print(speed, losses)

    def _print(self, speed: float, losses: dict[str, str]) -> None:
        self._printed = time.monotonic()
        left = (self._printed - self._began) / (self._step - self._first_step) * (self._num_steps - self._step)
        values = "  ".join(f"{name} {value}" for name, value in losses.items())
        eta = tqdm.format_interval(left)
        _logger.info("step %d/%d  %.2f steps/s  %s  ETA %s", self._step, self._num_steps, speed, values, eta)

    def close(self) -> None:
        """End the bar's line, so that what is printed next begins its own."""
        self._bar.close()


class Scalars:
    """Means of the training metrics since the last line, with the networks' own scalars: `metrics.jsonl`, TensorBoard.

    Args:
        path: of `metrics.jsonl`. Lines beyond `step` are dropped: a resumed run writes them again.
        writer: TensorBoard's.
        every: steps between lines.
        images_per_step: real images that a step takes.
        step: steps done when the loop begins.
        extra: reads further scalars.
    """

    def __init__(
        self,
        path: pathlib.Path,
        writer: tf.summary.SummaryWriter,
        *,
        every: int,
        images_per_step: int,
        step: int,
        extra: Callable[[], dict[str, float]],
    ) -> None:
        self._path = path
        self._writer = writer
        self._every = every
        self._images_per_step = images_per_step
        self._extra = extra
        self._reports: list[StepReport] = []
        drop_lines_after(path, step)

    def __call__(self, report: StepReport) -> None:
        self._reports.append(report)
        if not report.last and report.step % self._every:
            return
        values = self._means() | self._extra()
        self._reports.clear()
        line = {"step": report.step, "kind": "train"} | values
        append_line(self._path, json.dumps(line))
        write_scalars(self._writer, report.step, values)

    def _means(self) -> dict[str, float]:
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


class SampleGrid:
    """A grid of images from fixed latents: a PNG and an image in TensorBoard.

    Args:
        directory: gets `step_<8 digits>.png`.
        writer: TensorBoard's.
        draw: makes the images, float32 [rows * columns, R, R, C] in [-1, 1].
        columns: images in a row.
        row_names: class of each row; empty for none.
    """

    def __init__(
        self,
        directory: pathlib.Path,
        writer: tf.summary.SummaryWriter,
        draw: Callable[[], np.ndarray],
        columns: int,
        row_names: Sequence[str],
    ) -> None:
        self._directory = directory
        self._writer = writer
        self._draw = draw
        self._columns = columns
        self._row_names = row_names

    def __call__(self, report: StepReport) -> None:
        picture = image_grid(self._draw(), self._columns, self._row_names)
        save_png(picture, self._directory / f"step_{report.step:08d}.png")
        with at_step(self._writer, report.step):
            tf.summary.image("samples", np.asarray(picture)[np.newaxis])


class SaveCheckpoint:
    """Saves a checkpoint."""

    def __init__(self, checkpoints: Checkpoints) -> None:
        self._checkpoints = checkpoints

    def __call__(self, report: StepReport) -> None:
        self._checkpoints.save()


def drop_lines_after(path: pathlib.Path, step: int) -> None:
    """Remove the lines of a `metrics.jsonl` that are beyond `step`, or that a crash left half written."""
    _keep_lines(path, lambda line: line["step"] <= step)


def drop_evaluations_of(path: pathlib.Path, step: int) -> None:
    """Remove the evaluations of a step from a `metrics.jsonl`."""
    _keep_lines(path, lambda line: line["step"] != step or line["kind"] != "evaluation")


def _keep_lines(path: pathlib.Path, is_wanted: Callable[[dict[str, Any]], bool]) -> None:
    if not path.exists():
        return
    kept = []
    for line in read_text(path, errors="replace").splitlines():
        try:
            if is_wanted(json.loads(line)):
                kept.append(line + "\n")
        except (json.JSONDecodeError, KeyError, TypeError):
            continue
    write_atomically(path, "".join(kept))
