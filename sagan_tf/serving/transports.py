"""The interface and the errors of a connection to a server, and retries."""

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
_MAX_ATTEMPTS = 5
_INITIAL_WAIT_S, _MAX_WAIT_S = 0.2, 5.0
_MAX_REASON_LENGTH = 300


class ServerBusyError(UserError):
    """Raised if the server cannot be reached or is overloaded.

    The same request may succeed later.
    """


class RequestRefusedError(UserError):
    """Raised if the server refuses a request as wrong.

    The same request will fail again.
    """


@dataclasses.dataclass(frozen=True)
class ModelMetadata:
    """A server's description of a model.

    Attributes:
        name: The name of the model.
        version: The version that answers.
        signatures: The signatures by name. Sizes that may vary are -1.
    """

    name: str
    version: int
    signatures: dict[str, SignatureContract]


class Transport(Protocol):
    """A connection to one model of one server. Threads may share it.

    `timeout_s` is the time that a call may take, in seconds. All methods except `is_ready` and `close` raise
    `ServerBusyError`, `RequestRefusedError`, or a plain `UserError` for any other problem.
    """

    def predict(self, signature: str, inputs: Mapping[str, np.ndarray], output: str, timeout_s: float) -> np.ndarray:
        """Send unchecked inputs; return an output: float32, or an object array of bytes."""

    def metadata(self, timeout_s: float) -> ModelMetadata:
        """Return the server's description of the model."""

    def is_ready(self, timeout_s: float) -> bool:
        """Return whether the model is served now; False also if there is no server."""

    def close(self) -> None:
        """Close the connection."""


def retry(call: Callable[[float], _Answer], timeout_s: float) -> _Answer:
    """Call a function until it succeeds, while it raises `ServerBusyError`.

    The waits between the attempts become longer and longer.

    Args:
        call: The function. Its argument is the remaining time in seconds.
        timeout_s: The time for all attempts and waits together, in seconds.

    Returns:
        The result of the first attempt that succeeds.

    Raises:
        ServerBusyError: If the last of 5 attempts, or the last one within the time, failed.
    """
    end = time.monotonic() + timeout_s
    attempt = 1
    while True:
        try:
            return call(max(end - time.monotonic(), 0.001))
        except ServerBusyError as error:
            # Random, so that clients that were refused at the same time do not return at the same time.
            wait = min(_INITIAL_WAIT_S * 2 ** (attempt - 1), _MAX_WAIT_S) * random.uniform(0.5, 1.0)
            if attempt == _MAX_ATTEMPTS or time.monotonic() + wait >= end:
                times = f"{attempt} times" if attempt > 1 else "once"
                raise ServerBusyError(f"{error} (tried {times})") from error
        time.sleep(wait)
        attempt += 1


def format_failure(server: str, reason: str) -> str:
    """Return the message for a server that does not answer as TensorFlow Serving does."""
    return f"server: TensorFlow Serving at {server} did not answer the request: {shorten_reason(reason)}"


def make_timeout_error(server: str, timeout_s: float) -> UserError:
    """Return the error for an answer that takes too long."""
    return UserError(
        f"timeout: no answer from {server} within {timeout_s:.3g} s; allow more time or request fewer rows at once"
    )


def make_refusal_error(server: str, model: str, signature: str, reason: str, is_missing: bool) -> RequestRefusedError:
    """Return the error for a request that the server refuses.

    Args:
        server: The address of the server.
        model: The requested model, with its version if one was requested.
        signature: The requested signature; empty if none was requested.
        reason: The server's own message.
        is_missing: Whether the server does not serve this model.
    """
    reason = shorten_reason(reason)
    if is_missing:
        return RequestRefusedError(f"model: {server} does not serve {model}; it says: {reason}")
    if signature and "ignature" in reason and "not found" in reason:
        return RequestRefusedError(f"signature: {model} has no signature {signature}; {server} says: {reason}")
    return RequestRefusedError(f"{signature or model}: {server} refused the request: {reason}")


def shorten_reason(text: str) -> str:
    """Return a server's message as one line of at most 300 characters.

    TensorFlow's names of the operation that failed are removed.
    """
    text = " ".join(text.split()).split(" [[{{")[0]
    text = "".join(character for character in text if character.isprintable())
    return text if len(text) <= _MAX_REASON_LENGTH else text[: _MAX_REASON_LENGTH - 1] + "…"
