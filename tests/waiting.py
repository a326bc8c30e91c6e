"""Waiting for a condition with a time limit."""

import time
from collections.abc import Callable
from typing import Any


def wait_until(
    condition: Callable[[], Any],
    describe: Callable[[], str] = lambda: "the condition",
    seconds: float = 120.0,
    every: float = 0.05,
) -> Any:
    """Wait until the result of a function is true, and return the result.

    Args:
        condition: The function.
        describe: A function that describes the condition for the error message.
        seconds: The time after which the test fails.
        every: The seconds between two calls.
    """
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, f"not within {seconds} s: {describe()}"
        time.sleep(every)
    return value
