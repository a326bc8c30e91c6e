"""Actions and when they run."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Protocol, runtime_checkable


@dataclasses.dataclass(frozen=True)
class StepReport:
    """What one or several calls of the inner loop did.

    Attributes:
        step: Steps done in the whole run.
        num_steps: Steps done in these calls.
        metrics: Means over them.
        seconds: Wall time of the calls.
        last: Whether the run is over.
    """

    step: int
    num_steps: int
    metrics: dict[str, float]
    seconds: float
    last: bool


Action = Callable[[StepReport], None]


@runtime_checkable
class Scheduled(Protocol):
    """An action that has to run at certain steps, whatever the other actions do."""

    def next_step(self, step: int) -> int | None:
        """Return the first step after `step` at which the action has to run; None if there is none."""

    def __call__(self, report: StepReport) -> None:
        """Run the action."""


@dataclasses.dataclass(frozen=True)
class Every:
    """Runs an action at each multiple of `steps`, and at the end of the run."""

    steps: int
    action: Action

    def next_step(self, step: int) -> int:
        """See `Scheduled`."""
        return next_multiple(self.steps, step)

    def __call__(self, report: StepReport) -> None:
        if report.last or report.step % self.steps == 0:
            self.action(report)


def next_multiple(interval: int, step: int) -> int:
    """Return the first multiple of `interval` after `step`."""
    return (step // interval + 1) * interval
