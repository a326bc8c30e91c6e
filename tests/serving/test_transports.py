"""When to try again, and what errors say."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sagan_tf.errors import UserError
from sagan_tf.serving import transports
from sagan_tf.serving.transports import Busy, Refused, late, one_line, refusal, with_retries


class Clock:
    """Time that passes only while somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0
        self.waits: list[float] = []

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[Clock]:
    clock = Clock()
    monkeypatch.setattr(transports, "time", clock)
    yield clock


class Server:
    """Fails some times before it answers; each attempt takes some time."""

    def __init__(self, clock: Clock, *errors: Exception, seconds: float = 0.0) -> None:
        self.clock, self.errors, self.seconds = clock, list(errors), seconds
        self.left: list[float] = []

    def __call__(self, left: float) -> str:
        self.left.append(left)
        self.clock.now += self.seconds
        if self.errors:
            raise self.errors.pop(0)
        return "answer"


def test_a_busy_server_is_asked_again_after_longer_and_longer_waits(clock: Clock) -> None:
    server = Server(clock, *[Busy("busy")] * 4)
    assert with_retries(server, 60.0) == "answer"
    for wait, longest in zip(clock.waits, (0.2, 0.4, 0.8, 1.6), strict=True):
        assert longest / 2 <= wait <= longest
    assert server.left == [pytest.approx(60.0 - sum(clock.waits[:index])) for index in range(5)]


def test_waits_differ(clock: Clock) -> None:
    for _ in range(5):
        with_retries(Server(clock, Busy("busy")), 60.0)
    assert len(set(clock.waits)) == 5


def test_it_is_asked_a_few_times_at_most(clock: Clock) -> None:
    server = Server(clock, *[Busy("server: busy")] * 9)
    with pytest.raises(Busy, match=r"^server: busy \(tried 5 times\)$"):
        with_retries(server, 60.0)


@pytest.mark.parametrize(("seconds", "attempts"), [(0.0, 3), (0.5, 2), (2.0, 1)])
def test_nothing_goes_on_past_the_end(clock: Clock, seconds: float, attempts: int) -> None:
    server = Server(clock, *[Busy("busy")] * 9, seconds=seconds)
    with pytest.raises(Busy, match="tried once" if attempts == 1 else "tried . times"):
        with_retries(server, 0.75)
    assert clock.now <= 0.75 + seconds and len(server.left) <= attempts
    assert all(left > 0 for left in server.left)


@pytest.mark.parametrize("error", [Refused("wrong"), UserError("timeout"), OSError("disk")])
def test_whatever_else_goes_wrong_is_not_tried_again(clock: Clock, error: Exception) -> None:
    server = Server(clock, error)
    with pytest.raises(type(error), match=str(error)):
        with_retries(server, 60.0)
    assert len(server.left) == 1 and not clock.waits


def test_messages() -> None:
    assert str(refusal("host:1", "sagan", "generate", "a\n  b", False)) == (
        "generate: expected a request that host:1 accepts, received its refusal: a b"
    )
    assert str(refusal("host:1", "sagan version 2", "", "no", True)) == (
        "model: expected one that host:1 serves, received sagan version 2; it says: no"
    )
    assert str(refusal("host:1", "sagan", "attention", 'Serving signature key "attention" not found.', False)) == (
        "signature: expected one that sagan has, received attention; host:1 says: "
        'Serving signature key "attention" not found.'
    )
    assert str(late("host:1", 1.23456)).startswith("timeout: expected an answer of host:1 within 1.23 s, received none")
    assert len(one_line("long " * 1000)) == 300
    assert one_line("wrong [1 3]\n\t [[{{node Assert_5/Assert}}]]") == "wrong [1 3]"
