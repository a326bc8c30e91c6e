"""How many steps a call of the compiled inner loop does."""

from __future__ import annotations

from collections.abc import Callable

TARGET_SECONDS = 20.0
"""A signal, the progress line and TensorBoard wait for a call to end; clusters give 30 to 300 seconds to stop in."""
_FIRST_TIMED_CALL = 2
"""The first call also traces and optimizes the graph."""
_CALLS_BETWEEN_TIMINGS = 10
"""Once the first ten calls are done: several workers have to exchange a number each time."""


class CallLength:
    """The number of steps that fit into about `TARGET_SECONDS`.

    The first two calls do one step each: the first is slow for another reason than the step, and until the second has
    been timed nothing is known.

    Args:
        max_steps: Upper limit of a call (`--steps_per_loop`).
        agree: Maps the seconds of a step that this worker measured to those that all workers use. All workers have to
            make equal calls, because their steps wait for each other.

    Attributes:
        num_steps: Steps that the next call should do, from 1 to `max_steps`.
    """

    def __init__(self, max_steps: int, agree: Callable[[float], float] = float) -> None:
        self.num_steps = 1
        self._max_steps = max_steps
        self._agree = agree
        self._num_calls = 0

    def record(self, num_steps: int, seconds: float) -> None:
        """Take the time of the last call into account.

        Args:
            num_steps: Steps that it did.
            seconds: Wall time that it took.
        """
        self._num_calls += 1
        is_settled = self._num_calls > _CALLS_BETWEEN_TIMINGS and self._num_calls % _CALLS_BETWEEN_TIMINGS
        if self._num_calls < _FIRST_TIMED_CALL or is_settled or self._max_steps == 1:
            return
        seconds_per_step = max(self._agree(seconds / num_steps), 1e-9)
        self.num_steps = min(max(int(TARGET_SECONDS / seconds_per_step), 1), self._max_steps)
