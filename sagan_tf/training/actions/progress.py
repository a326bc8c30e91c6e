"""The action that reports the progress of training on the console."""

from __future__ import annotations

import logging
import time

from tqdm import tqdm

from sagan_tf.progress import progress_bar
from sagan_tf.training.actions.schedule import StepReport, next_multiple

_logger = logging.getLogger("sagan_tf")
_MAX_SECONDS_BETWEEN_LINES = 60.0


class Progress:
    """Action that shows a bar on a terminal or in a notebook, else logs lines.

    Args:
        step: Number of steps done when the loop starts.
        num_steps: Number of steps of the whole run.
        images_per_step: Number of real images in a step.
        line_every: Number of steps between plain lines. If these steps take longer than a minute, there are more lines.
        traces: Whether the first step also traces the graph; the first line then says so.
    """

    def __init__(self, step: int, num_steps: int, images_per_step: int, line_every: int, traces: bool = False) -> None:
        self._first_step = self._step = step
        self._num_steps = num_steps
        self._images_per_step = images_per_step
        self._line_every = line_every
        self._traces = traces
        self._began = self._printed = time.monotonic()
        self._bar = progress_bar(num_steps, initial=step, unit="step")

    def next_step(self, step: int) -> int:
        """Return the step of the next plain line."""
        return next_multiple(self._line_every, step)

    def __call__(self, report: StepReport) -> None:
        """Update the bar, or log a line if it is due."""
        speed = report.num_steps / report.seconds
        values = {
            "images/s": f"{speed * self._images_per_step:.0f}",
            "d_loss": f"{report.metrics['discriminator_loss']:.3f}",
            "g_loss": f"{report.metrics['generator_loss']:.3f}",
        }
        is_first_call, self._traces = self._traces, False
        self._step, new_steps = report.step, report.step - self._step
        if not self._bar.disable:
            self._bar.set_postfix(values, refresh=False)
            self._bar.update(new_steps)
            return
        if is_first_call:
            _logger.info("first step after %.0f s, including tracing", report.seconds)
        is_late = time.monotonic() - self._printed >= _MAX_SECONDS_BETWEEN_LINES
        if report.last or report.step % self._line_every == 0 or is_late:
            self._log_line(speed, values)

    def _log_line(self, speed: float, values: dict[str, str]) -> None:
        self._printed = time.monotonic()
        seconds_per_step = (self._printed - self._began) / (self._step - self._first_step)
        text = "  ".join(f"{name} {value}" for name, value in values.items())
        eta = tqdm.format_interval(seconds_per_step * (self._num_steps - self._step))
        _logger.info("step %d/%d  %.2f steps/s  %s  ETA %s", self._step, self._num_steps, speed, text, eta)

    def close(self) -> None:
        """End the line of the progress bar, so that further output starts on a new line."""
        self._bar.close()
