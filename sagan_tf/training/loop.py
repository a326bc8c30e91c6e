"""The outer loop: runs the compiled inner loop and hands what it did to the actions. It touches no tensor."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from typing import Protocol


@dataclasses.dataclass(frozen=True)
class StepReport:
    """What a call of the inner loop did.

    Attributes:
        step: steps done in the whole run.
        num_steps: steps done in this call.
        metrics: means over them.
        seconds: wall time of the call.
        last: whether the run is over.
    """

    step: int
    num_steps: int
    metrics: dict[str, float]
    seconds: float
    last: bool


Action = Callable[[StepReport], None]


@dataclasses.dataclass(frozen=True)
class Every:
    """Runs an action at each multiple of `steps`, and at the end of the run."""

    steps: int
    action: Action

    def __call__(self, report: StepReport) -> None:
        if report.last or report.step % self.steps == 0:
            self.action(report)


class InnerLoop(Protocol):
    """What the outer loop needs of a trainer."""

    @property
    def step(self) -> int:
        """Steps done in the whole run."""

    def train(self, num_steps: int) -> dict[str, float]:
        """Run steps and return their mean metrics."""


def run_loop(
    trainer: InnerLoop,
    actions: Sequence[Action],
    *,
    num_steps: int,
    intervals: Sequence[int],
    stops: Sequence[int] = (),
) -> None:
    """Train until `num_steps` steps are done in all.

    Each call of the inner loop ends at the next multiple of any of `intervals` or at the next of `stops`, whichever
    comes first, so every action that has its interval there runs exactly at its steps. Actions run in order.

    Raises:
        RuntimeError: if the inner loop did not do the steps that it was asked for.
    """
    step = trainer.step
    while step < num_steps:
        ends = [(step // interval + 1) * interval for interval in intervals] + [one for one in stops if one > step]
        stop = min(num_steps, *ends)
        began = time.monotonic()
        metrics = trainer.train(stop - step)
        seconds = time.monotonic() - began
        if trainer.step != stop:
            raise RuntimeError(f"the inner loop was asked to reach step {stop} and reached {trainer.step}")
        report = StepReport(stop, stop - step, metrics, seconds, last=stop == num_steps)
        for action in actions:
            action(report)
        step = stop
