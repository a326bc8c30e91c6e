"""Report the progress of training on the console."""

from __future__ import annotations

import logging
import time

from tqdm import tqdm

from sagan_tf.progress import progress_bar
from sagan_tf.training.actions.schedule import StepReport, next_multiple

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

    def next_step(self, step: int) -> int:
        """See `Scheduled`."""
        return next_multiple(self._line_every, step)

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
