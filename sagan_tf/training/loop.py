"""The outer loop: runs the compiled inner loop and hands what it did to the actions. It touches no tensor."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Protocol

from sagan_tf.training.actions.schedule import Action, Scheduled, StepReport, next_multiple
from sagan_tf.training.call_length import CallLength


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
    interval: int,
    call_length: CallLength | None = None,
    between: Sequence[Action] = (),
) -> None:
    """Train until `num_steps` steps are done in all.

    All actions run, in order, after each stretch of steps. A stretch ends where a scheduled action has to run, at
    multiples of `interval`, and at the end of the run. A stretch that takes long is cut into several calls of the inner
    loop, so that the process can react in the middle of it.

    Args:
        trainer: Does the steps.
        actions: What happens at the end of a stretch.
        num_steps: Steps of the whole run.
        interval: The largest number of steps in a stretch.
        call_length: Limits the steps of a call; None: a call is a whole stretch.
        between: Actions after each call that does not end a stretch. Their report is about that call only.

    Raises:
        RuntimeError: The inner loop did not do the steps that it was asked for.
    """
    step = trainer.step
    while step < num_steps:
        stop = min(num_steps, next_multiple(interval, step), *_scheduled_steps(actions, step))
        calls: list[StepReport] = []
        while step < stop:
            limit = call_length.num_steps if call_length else stop - step
            calls.append(_call(trainer, step, min(limit, stop - step), num_steps))
            step = calls[-1].step
            if call_length:
                call_length.record(calls[-1].num_steps, calls[-1].seconds)
            if step < stop:
                _run_actions(between, calls[-1])
        _run_actions(actions, _merge(calls))


def _scheduled_steps(actions: Sequence[Action], step: int) -> list[int]:
    """Return the next step at which each scheduled action has to run, without those that run no more."""
    steps = [action.next_step(step) for action in actions if isinstance(action, Scheduled)]
    return [one for one in steps if one is not None]


def _call(trainer: InnerLoop, step: int, num_steps: int, last_step: int) -> StepReport:
    """Call the inner loop once, for `num_steps` steps from `step` on."""
    began = time.monotonic()
    metrics = trainer.train(num_steps)
    seconds = time.monotonic() - began
    stop = step + num_steps
    if trainer.step != stop:
        raise RuntimeError(f"the inner loop was asked to reach step {stop} and reached {trainer.step}")
    return StepReport(stop, num_steps, metrics, seconds, last=stop == last_step)


def _merge(calls: Sequence[StepReport]) -> StepReport:
    """Return the report of consecutive calls as if they had been one."""
    if len(calls) == 1:
        return calls[0]
    steps = sum(call.num_steps for call in calls)
    metrics = {name: sum(call.metrics[name] * call.num_steps for call in calls) / steps for name in calls[0].metrics}
    return StepReport(calls[-1].step, steps, metrics, sum(call.seconds for call in calls), calls[-1].last)


def _run_actions(actions: Sequence[Action], report: StepReport) -> None:
    for action in actions:
        action(report)
