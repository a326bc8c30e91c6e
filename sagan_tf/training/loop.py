"""The outer loop, which calls the compiled inner loop and then the actions.

It uses no tensors.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Protocol

from sagan_tf.training.actions.schedule import Action, Scheduled, StepReport, next_multiple
from sagan_tf.training.call_length import CallLength


class InnerLoop(Protocol):
    """Interface of a trainer to the outer loop."""

    @property
    def step(self) -> int:
        """Number of steps done in the whole run."""

    def train(self, num_steps: int) -> dict[str, float]:
        """Run `num_steps` steps and return the means of their metrics."""


def run_loop(
    trainer: InnerLoop,
    actions: Sequence[Action],
    *,
    num_steps: int,
    interval: int,
    call_length: CallLength | None = None,
    actions_between_calls: Sequence[Action] = (),
) -> None:
    """Train until `num_steps` steps are done in the whole run.

    All actions run, in order, after each segment of steps. A segment ends at a step at which a scheduled action has to
    run, at multiples of `interval`, and at the end of the run. A long segment is split into several calls of the inner
    loop, so that the process can react in between.

    Args:
        trainer: The trainer.
        actions: Actions at the end of a segment.
        num_steps: Number of steps of the whole run.
        interval: The largest number of steps in a segment.
        call_length: The limit of the steps in a call; None for one call per segment.
        actions_between_calls: Actions after each call that does not end a segment. Their report covers that call only.

    Raises:
        RuntimeError: The inner loop did another number of steps than requested.
    """
    step = trainer.step
    while step < num_steps:
        segment_end = min(num_steps, next_multiple(interval, step), *_find_scheduled_steps(actions, step))
        calls: list[StepReport] = []
        while step < segment_end:
            limit = call_length.num_steps if call_length else segment_end - step
            calls.append(_run_call(trainer, step, min(limit, segment_end - step), num_steps))
            step = calls[-1].step
            if call_length:
                call_length.record(calls[-1].num_steps, calls[-1].seconds)
            if step < segment_end:
                _run_actions(actions_between_calls, calls[-1])
        _run_actions(actions, _merge_reports(calls))


def _find_scheduled_steps(actions: Sequence[Action], step: int) -> list[int]:
    """Return the next step of each scheduled action that has to run again."""
    steps = [action.next_step(step) for action in actions if isinstance(action, Scheduled)]
    return [next_step for next_step in steps if next_step is not None]


def _run_call(trainer: InnerLoop, step: int, num_steps: int, last_step: int) -> StepReport:
    """Call the inner loop once, for `num_steps` steps after `step`."""
    began = time.monotonic()
    metrics = trainer.train(num_steps)
    seconds = time.monotonic() - began
    expected_step = step + num_steps
    if trainer.step != expected_step:
        raise RuntimeError(f"the inner loop: expected step {expected_step}, received step {trainer.step}")
    return StepReport(expected_step, num_steps, metrics, seconds, last=expected_step == last_step)


def _merge_reports(calls: Sequence[StepReport]) -> StepReport:
    """Return one report of consecutive calls."""
    if len(calls) == 1:
        return calls[0]
    steps = sum(call.num_steps for call in calls)
    metrics = {name: sum(call.metrics[name] * call.num_steps for call in calls) / steps for name in calls[0].metrics}
    return StepReport(calls[-1].step, steps, metrics, sum(call.seconds for call in calls), calls[-1].last)


def _run_actions(actions: Sequence[Action], report: StepReport) -> None:
    for action in actions:
        action(report)
