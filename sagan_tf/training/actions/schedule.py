"""Actions and their schedule."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Protocol, runtime_checkable


@dataclasses.dataclass(frozen=True)
class StepReport:
    """Report of one or several calls of the inner loop.

    Attributes:
        step: Number of steps done in the whole run.
        num_steps: Number of steps in these calls.
        metrics: Means over these steps.
        seconds: Wall time of the calls.
        last: Whether the run has ended.
    """

    step: int
    num_steps: int
    metrics: dict[str, float]
    seconds: float
    last: bool


Action = Callable[[StepReport], None]
"""A side effect of training, such as saving; it is called with the report of the last steps."""


@runtime_checkable
class Scheduled(Protocol):
    """Interface of an action that has to run at certain steps."""

    def next_step(self, step: int) -> int | None:
        """Return the first step after `step` at which the action has to run, or None."""

    def __call__(self, report: StepReport) -> None:
        """Run the action."""


@dataclasses.dataclass(frozen=True)
class Every:
    """Action that runs another action at fixed intervals and at the end of the run.

    Attributes:
        steps: The interval in steps.
        action: The action that is run at each multiple of the interval.
    """

    steps: int
    action: Action

    def next_step(self, step: int) -> int:
        """Return the first multiple of the interval after `step`."""
        return next_multiple(self.steps, step)

    def __call__(self, report: StepReport) -> None:
        """Run the action if it is due."""
        if report.last or report.step % self.steps == 0:
            self.action(report)


def next_multiple(interval: int, step: int) -> int:
    """Return the first multiple of `interval` after `step`."""
    return (step // interval + 1) * interval
