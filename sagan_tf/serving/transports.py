"""The interface and the errors of a connection to a server."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Protocol

import numpy as np

from sagan_tf.errors import UserError
from sagan_tf.serving.contract import SignatureContract

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

    `timeout_s` is the time that a call may take, in seconds. Within this time, `predict` and `metadata` send a request
    again while the server is busy or cannot be reached (see `retries`), which is safe, because a request changes
    nothing on the server. They raise `ServerBusyError`, `RequestRefusedError`, or a plain `UserError` for any other
    problem.
    """

    def predict(self, signature: str, inputs: Mapping[str, np.ndarray], output: str, timeout_s: float) -> np.ndarray:
        """Send unchecked inputs; return an output: float32, or an object array of bytes."""

    def metadata(self, timeout_s: float) -> ModelMetadata:
        """Return the server's description of the model."""

    def is_ready(self, timeout_s: float) -> bool:
        """Return whether the model is served now; False also if there is no server."""

    def close(self) -> None:
        """Close the connection."""


def format_failure(server: str, reason: str) -> str:
    """Return the message for a server that does not answer as TensorFlow Serving does."""
    return f"server: TensorFlow Serving at {server} did not answer the request: {shorten_reason(reason)}"


def make_timeout_error(server: str, timeout_s: float) -> UserError:
    """Return the error for an answer that takes too long."""
    return UserError(
        f"timeout: no answer from {server} within {timeout_s:.3g} s; check the address, allow more time or request "
        "fewer rows at once"
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
