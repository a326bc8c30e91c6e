"""Repetition of requests to a server that is busy or cannot be reached."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import TypeVar

from sagan_tf.serving.transports import ServerBusyError

MAX_ATTEMPTS = 5
"""Number of times that a request is sent to a server that is busy or cannot be reached."""
INITIAL_WAIT_S = 0.2
_JITTER = 0.2

_Answer = TypeVar("_Answer")


def send_until_answered(
    send: Callable[[float], _Answer], timeout_s: float, max_attempts: int = MAX_ATTEMPTS
) -> _Answer:
    """Send a request, again and again while the server is busy or cannot be reached.

    The same loop serves both interfaces. The retries of gRPC report an exceeded deadline in place of the last error,
    and those of urllib3 read the answer of a busy server without a deadline.

    Args:
        send: A function that sends the request once and returns the answer. Its argument is the remaining time in
            seconds.
        timeout_s: The time for all attempts and waits together, in seconds.
        max_attempts: The maximum number of attempts.

    Raises:
        ServerBusyError: If the last attempt raises it. There is no attempt that would begin after the timeout.
    """
    deadline = time.monotonic() + timeout_s
    attempt = 0
    while True:
        attempt += 1
        try:
            return send(deadline - time.monotonic())
        except ServerBusyError as error:
            wait_s = _draw_wait_s(attempt)
            is_last = attempt == max_attempts or time.monotonic() + wait_s >= deadline
            if not is_last:
                time.sleep(wait_s)
            if is_last or time.monotonic() >= deadline:  # A sleep may take longer than it should.
                raise ServerBusyError(f"{error} (attempts: {attempt})") from error


def _draw_wait_s(attempt: int) -> float:
    """Return the wait after an attempt in seconds; it is random, so that clients return at different times."""
    return INITIAL_WAIT_S * 2 ** (attempt - 1) * random.uniform(1 - _JITTER, 1 + _JITTER)
