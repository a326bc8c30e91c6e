"""Retries and error messages."""

from __future__ import annotations

import pytest

from sagan_tf.errors import UserError
from sagan_tf.serving import transports
from sagan_tf.serving.transports import (
    RequestRefusedError,
    ServerBusyError,
    make_refusal_error,
    make_timeout_error,
    retry,
    shorten_reason,
)


class Clock:
    """A clock that advances only during `sleep`."""

    def __init__(self) -> None:
        self.now = 0.0
        self.waits: list[float] = []

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(transports, "time", clock)
    return clock


class Server:
    """A server that raises given errors before it answers; each attempt takes a given time."""

    def __init__(self, clock: Clock, *errors: Exception, seconds: float = 0.0) -> None:
        self.clock, self.errors, self.seconds = clock, list(errors), seconds
        self.remaining: list[float] = []

    def __call__(self, remaining_s: float) -> str:
        self.remaining.append(remaining_s)
        self.clock.now += self.seconds
        if self.errors:
            raise self.errors.pop(0)
        return "answer"


def test_a_busy_server_is_retried_after_increasing_waits(clock: Clock) -> None:
    server = Server(clock, *[ServerBusyError("busy")] * 4)
    assert retry(server, 60.0) == "answer"
    for wait, longest in zip(clock.waits, (0.2, 0.4, 0.8, 1.6), strict=True):
        assert longest / 2 <= wait <= longest
    assert server.remaining == [pytest.approx(60.0 - sum(clock.waits[:index])) for index in range(5)]


def test_waits_are_random(clock: Clock) -> None:
    for _ in range(5):
        retry(Server(clock, ServerBusyError("busy")), 60.0)
    assert len(set(clock.waits)) == 5


def test_the_number_of_attempts_is_limited(clock: Clock) -> None:
    server = Server(clock, *[ServerBusyError("server: busy")] * 9)
    with pytest.raises(ServerBusyError, match=r"^server: busy \(tried 5 times\)$"):
        retry(server, 60.0)


@pytest.mark.parametrize(("seconds", "attempts"), [(0.0, 3), (0.5, 2), (2.0, 1)])
def test_retries_end_at_the_timeout(clock: Clock, seconds: float, attempts: int) -> None:
    server = Server(clock, *[ServerBusyError("busy")] * 9, seconds=seconds)
    with pytest.raises(ServerBusyError, match="tried once" if attempts == 1 else "tried . times"):
        retry(server, 0.75)
    assert clock.now <= 0.75 + seconds and len(server.remaining) <= attempts
    assert all(remaining_s > 0 for remaining_s in server.remaining)


@pytest.mark.parametrize("error", [RequestRefusedError("wrong"), UserError("timeout"), OSError("disk")])
def test_other_errors_are_not_retried(clock: Clock, error: Exception) -> None:
    server = Server(clock, error)
    with pytest.raises(type(error), match=str(error)):
        retry(server, 60.0)
    assert len(server.remaining) == 1 and not clock.waits


def test_messages_name_the_server_and_the_request() -> None:
    refusal = str(make_refusal_error("host:1", "sagan", "generate", "a\n  b", False))
    assert refusal.startswith("generate: ") and "host:1" in refusal and refusal.endswith(": a b")
    missing = str(make_refusal_error("host:1", "sagan version 2", "", "no", True))
    assert missing.startswith("model: ") and "host:1" in missing and "sagan version 2" in missing
    unknown = str(
        make_refusal_error("host:1", "sagan", "attention", 'Serving signature key "attention" not found.', False)
    )
    assert unknown.startswith("signature: ") and "attention" in unknown
    timeout = str(make_timeout_error("host:1", 1.23456))
    assert timeout.startswith("timeout: ") and "host:1" in timeout and "1.23 s" in timeout


def test_reasons_are_shortened() -> None:
    assert len(shorten_reason("long " * 1000)) == 300
    assert shorten_reason("wrong [1 3]\n\t [[{{node Assert_5/Assert}}]]") == "wrong [1 3]"
