"""Attempts and waits, with a clock that does not wait."""

from __future__ import annotations

import pytest

from sagan_tf.serving import retries
from sagan_tf.serving.retries import MAX_ATTEMPTS, send_until_answered
from sagan_tf.serving.transports import ServerBusyError


class Clock:
    """A replacement for the module `time`."""

    def __init__(self) -> None:
        self.now = 100.0
        self.waits: list[float] = []
        self.oversleep_s = 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.now += seconds + self.oversleep_s


class BusyServer:
    """A server that is busy for some attempts, each of which takes time."""

    def __init__(self, clock: Clock, num_busy: int, seconds: float = 0.0) -> None:
        self._clock, self._num_busy, self._seconds = clock, num_busy, seconds
        self.remaining_s: list[float] = []

    def send(self, remaining_s: float) -> str:
        self.remaining_s.append(remaining_s)
        self._clock.now += self._seconds
        if len(self.remaining_s) <= self._num_busy:
            raise ServerBusyError("server: busy")
        return "answer"


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(retries, "time", clock)
    return clock


def test_waits_double_and_are_random(clock: Clock) -> None:
    for _ in range(50):
        assert send_until_answered(BusyServer(clock, MAX_ATTEMPTS - 1).send, 60.0) == "answer"
    for index, expected in enumerate((0.2, 0.4, 0.8, 1.6)):
        waits = [wait / expected for wait in clock.waits[index :: MAX_ATTEMPTS - 1]]
        assert len(waits) == 50
        assert 0.8 <= min(waits) < 0.95 and 1.05 < max(waits) <= 1.2


def test_the_time_that_remains_is_given_to_each_attempt(clock: Clock) -> None:
    server = BusyServer(clock, 2, seconds=3.0)
    send_until_answered(server.send, 60.0)
    first, second = clock.waits
    assert server.remaining_s == pytest.approx([60.0, 57.0 - first, 54.0 - first - second])


@pytest.mark.parametrize("max_attempts", [1, 3])
def test_the_last_error_and_the_number_of_attempts_are_reported(clock: Clock, max_attempts: int) -> None:
    server = BusyServer(clock, 9)
    with pytest.raises(ServerBusyError, match=rf"^server: busy .*{max_attempts}"):
        send_until_answered(server.send, 60.0, max_attempts)
    assert len(server.remaining_s) == max_attempts == len(clock.waits) + 1


def test_no_attempt_begins_after_the_timeout(clock: Clock) -> None:
    server = BusyServer(clock, 9, seconds=1.0)
    with pytest.raises(ServerBusyError):
        send_until_answered(server.send, 2.1)
    assert len(server.remaining_s) == 2 and clock.now < 102.3  # the second attempt ends after the timeout


def test_no_attempt_begins_after_a_wait_that_takes_too_long(clock: Clock) -> None:
    server = BusyServer(clock, 9)
    clock.oversleep_s = 2.0
    with pytest.raises(ServerBusyError, match=r"^server: busy .*1"):
        send_until_answered(server.send, 2.0)
    assert server.remaining_s == [2.0]
