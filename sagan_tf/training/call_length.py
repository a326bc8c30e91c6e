"""The number of steps in a call of the compiled inner loop."""

from __future__ import annotations

from collections.abc import Callable

TARGET_SECONDS = 20.0
"""Target duration of a call. Signals, the progress line and TensorBoard wait for a call to end, and clusters kill a
process 30 to 300 seconds after the signal."""
_FIRST_TIMED_CALL = 2
"""The first call also traces and optimizes the graph."""
_CALLS_BETWEEN_TIMINGS = 10
"""Calls between timings after the first ten calls. Several workers have to exchange a number for each timing."""


class CallLength:
    """Number of steps that take about `TARGET_SECONDS`.

    The first two calls do one step each. The first call is slow because it traces the graph, so the second call gives
    the first useful time.

    Args:
        max_steps: The largest number of steps in a call (`--steps_per_loop`).
        agree: Maps the seconds of a step that this worker measured to the seconds that all workers use. All workers
            have to make equal calls, because their steps wait for each other.

    Attributes:
        num_steps: Number of steps of the next call, from 1 to `max_steps`.
    """

    def __init__(self, max_steps: int, agree: Callable[[float], float] = float) -> None:
        self.num_steps = 1
        self._max_steps = max_steps
        self._agree = agree
        self._num_calls = 0

    def record(self, num_steps: int, seconds: float) -> None:
        """Update `num_steps` from the duration of the last call.

        Args:
            num_steps: Number of steps of that call.
            seconds: Wall time of that call.
        """
        self._num_calls += 1
        is_settled = self._num_calls > _CALLS_BETWEEN_TIMINGS and self._num_calls % _CALLS_BETWEEN_TIMINGS
        if self._num_calls < _FIRST_TIMED_CALL or is_settled or self._max_steps == 1:
            return
        seconds_per_step = max(self._agree(seconds / num_steps), 1e-9)
        self.num_steps = min(max(int(TARGET_SECONDS / seconds_per_step), 1), self._max_steps)
