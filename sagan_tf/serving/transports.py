"""What a client needs of the way to a server, whichever it is; and when to try again."""

from __future__ import annotations

import dataclasses
import random
import time
from collections.abc import Callable, Mapping
from typing import Protocol, TypeVar

import numpy as np

from sagan_tf.errors import UserError
from sagan_tf.serving.contract import SignatureContract

_Answer = TypeVar("_Answer")
_ATTEMPTS = 5
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.2, 5.0
_LONGEST_REASON = 300


class Busy(UserError):
    """The server cannot be reached or has too much to do: the same request may succeed later."""


class Refused(UserError):
    """The server has looked at the request and says that it is wrong: it will be wrong again."""


@dataclasses.dataclass(frozen=True)
class ModelMetadata:
    """What a server says of a model.

    Attributes:
        name: of the model.
        version: that answers.
        signatures: inputs and outputs by name; sizes that may vary are -1.
    """

    name: str
    version: int
    signatures: dict[str, SignatureContract]


class Transport(Protocol):
    """The way to one model of one server. Threads may share it.

    `timeout_s` is how long the call may take. All but `is_ready` raise `Busy`, `Refused`, or a plain `UserError` for
    whatever else goes wrong.
    """

    def predict(self, signature: str, inputs: Mapping[str, np.ndarray], output: str, timeout_s: float) -> np.ndarray:
        """Send inputs as they are; return an output: float32, or an object array of bytes."""

    def metadata(self, timeout_s: float) -> ModelMetadata:
        """Return what the server says of the model."""

    def is_ready(self, timeout_s: float) -> bool:
        """Return whether the model is served now; False as well if there is no server."""

    def close(self) -> None:
        """End the connection."""


def with_retries(call: Callable[[float], _Answer], timeout_s: float) -> _Answer:
    """Call until the answer is another than `Busy`, a few times at most, with longer and longer waits in between.

    Args:
        call: given the seconds that are left.
        timeout_s: for all attempts and waits together.
    """
    end = time.monotonic() + timeout_s
    attempt = 1
    while True:
        try:
            return call(max(end - time.monotonic(), 0.001))
        except Busy as error:
            # At random, so that clients which were turned away together do not come back together.
            wait = min(_FIRST_WAIT_S * 2 ** (attempt - 1), _LONGEST_WAIT_S) * random.uniform(0.5, 1.0)
            if attempt == _ATTEMPTS or time.monotonic() + wait >= end:
                times = f"{attempt} times" if attempt > 1 else "once"
                raise Busy(f"{error} (tried {times})") from error
        time.sleep(wait)
        attempt += 1


def failure(server: str, reason: str) -> str:
    """Return the message for a server that gives no answer."""
    return f"server: expected an answer of TensorFlow Serving at {server}, received {one_line(reason)}"


def late(server: str, timeout_s: float) -> UserError:
    """Return the error for an answer that takes too long."""
    return UserError(
        f"timeout: expected an answer of {server} within {timeout_s:.3g} s, received none; allow more time or ask for "
        "fewer rows at once"
    )


def refusal(server: str, model: str, signature: str, reason: str, is_missing: bool) -> Refused:
    """Return the error for a request that the server calls wrong.

    Args:
        server: its address.
        model: name and version asked for.
        signature: asked for; empty if none was.
        reason: the server's words.
        is_missing: the server knows no such model.
    """
    reason = one_line(reason)
    if is_missing:
        return Refused(f"model: expected one that {server} serves, received {model}; it says: {reason}")
    if signature and "ignature" in reason and "not found" in reason:
        return Refused(f"signature: expected one that {model} has, received {signature}; {server} says: {reason}")
    return Refused(f"{signature or model}: expected a request that {server} accepts, received its refusal: {reason}")


def one_line(text: str) -> str:
    """Return a server's words, which may go on for pages, without TensorFlow's names of the operation that failed."""
    text = " ".join(text.split()).split(" [[{{")[0]
    text = "".join(character for character in text if character.isprintable())
    return text if len(text) <= _LONGEST_REASON else text[: _LONGEST_REASON - 1] + "…"
