"""HTTP requests with retries and a deadline for all attempts together."""

from __future__ import annotations

import contextlib
import math
import ssl
import time
from typing import Any

import requests
import urllib3
from urllib3.exceptions import HTTPError, NewConnectionError, ProtocolError, ProxyError

from sagan_tf.serving.transports import INITIAL_WAIT_S, MAX_WAIT_S

BUSY_STATUSES = (429, 502, 503)
_BUSY_ERRORS = (NewConnectionError, ProtocolError, ProxyError)
_TIMEOUT_ERRORS = (requests.Timeout, urllib3.exceptions.TimeoutError)
_HEADERS = {"Content-Type": "application/json", "Accept-Encoding": "identity"}
_CHUNK_BYTES = 1 << 20
_MAX_REASON_BYTES = 1 << 16
_MIN_TIMEOUT_S = 0.001


def send(url: str, body: bytes | None, timeout_s: float, max_attempts: int) -> tuple[int, bytes]:
    """Send a request, again and again while the server is busy or cannot be reached.

    Args:
        url: The address.
        body: JSON to post; None: a GET request.
        timeout_s: The time for all attempts and waits together, in seconds.
        max_attempts: The maximum number of attempts.

    Returns:
        The status and the body of the last answer. The body of a refusal is cut off after about 64 KB, and is the name
        of the status if it is empty or late.

    Raises:
        TimeoutError: If the answer is not complete in time.
        ConnectionError: If the server cannot be reached or does not complete its answer.
        OSError: If the request fails in another way.
    """
    try:
        return _send(url, body, time.monotonic() + timeout_s, max_attempts)
    except (requests.RequestException, HTTPError) as error:
        raise _simplify(error) from error


def _simplify(error: requests.RequestException | HTTPError) -> OSError:
    """Return an error of requests or urllib3 as one of Python's own, with the innermost reason as its message."""
    cause = error.args[0] if error.args and isinstance(error.args[0], HTTPError) else error
    cause = getattr(cause, "reason", cause)  # The last error, if the attempts are used up.
    # urllib3 keeps the error of the system as the cause or as the last argument.
    reason = str(cause.__cause__ or (cause.args[-1] if cause.args else "")) or type(cause).__name__
    if isinstance(cause, _BUSY_ERRORS):  # For urllib3, a refused connection is a timeout too.
        return ConnectionError(reason)
    return TimeoutError(reason) if isinstance(cause, _TIMEOUT_ERRORS) else OSError(reason)


class _Retry(urllib3.Retry):
    """Retries that end at a deadline, which urllib3 does not have.

    Args:
        *args: Arguments of `urllib3.Retry`.
        deadline: The time in seconds, as `time.monotonic`.
        **kwargs: Arguments of `urllib3.Retry`.
    """

    def __init__(self, *args: Any, deadline: float, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._deadline = deadline

    def new(self, **kwargs: Any) -> _Retry:
        """Return a copy with other values."""
        return super().new(deadline=self._deadline, **kwargs)

    def is_exhausted(self) -> bool:
        """Return whether no attempt is left, or the next one might begin after the deadline."""
        longest_wait = self.get_backoff_time() + self.backoff_jitter
        return super().is_exhausted() or time.monotonic() + longest_wait >= self._deadline


class _Timeout(urllib3.Timeout):
    """A timeout that gives each attempt the time that is left until a deadline."""

    def __init__(self, deadline: float) -> None:
        super().__init__()
        self._deadline = deadline

    def clone(self) -> urllib3.Timeout:
        """Return the timeout of the next attempt."""
        return urllib3.Timeout(total=max(self._deadline - time.monotonic(), _MIN_TIMEOUT_S))


def _send(url: str, body: bytes | None, deadline: float, max_attempts: int) -> tuple[int, bytes]:
    method = "GET" if body is None else "POST"
    # TensorFlow Serving does not redirect, and another server must not receive the request.
    options: dict[str, Any] = {"timeout": _Timeout(deadline), "allow_redirects": False, "stream": True}
    with (
        _create_session(deadline, max_attempts) as session,
        session.request(method, url, data=body, headers=_HEADERS, **options) as answer,
    ):
        if answer.status_code == 200:
            return 200, _read(answer.raw, deadline)
        content = b""
        with contextlib.suppress(HTTPError, TimeoutError):
            content = _read(answer.raw, deadline, _MAX_REASON_BYTES)
        return answer.status_code, content or answer.reason.encode()


def _create_session(deadline: float, max_attempts: int) -> requests.Session:
    """Return a session for one request, because the deadline of the retries is that of the request."""
    retries = _Retry(
        max_attempts - 1,
        deadline=deadline,
        allowed_methods=None,  # POST too, because a request changes nothing on the server.
        status_forcelist=BUSY_STATUSES,
        raise_on_status=False,
        respect_retry_after_header=False,  # The server could ask for a wait beyond the deadline.
        backoff_factor=INITIAL_WAIT_S,
        backoff_jitter=INITIAL_WAIT_S,
        backoff_max=MAX_WAIT_S,
    )
    session = requests.Session()
    for scheme in ("http://", "https://"):
        session.mount(scheme, requests.adapters.HTTPAdapter(max_retries=retries))
    session.auth = lambda request: request  # By default, requests sends the passwords in ~/.netrc.
    paths = ssl.get_default_verify_paths()
    session.verify = (
        paths.cafile or paths.capath or True
    )  # The certificates of the system, which may have private ones.
    return session


def _read(answer: Any, deadline: float, max_bytes: float = math.inf) -> bytes:
    """Read an answer, or its beginning of about `max_bytes`.

    Raises:
        TimeoutError: If the answer is not complete at the deadline, even if parts of it keep coming.
    """
    chunks: list[bytes] = []
    while sum(map(len, chunks)) < max_bytes and (chunk := answer.read1(_CHUNK_BYTES, decode_content=False)):
        chunks.append(chunk)
        if time.monotonic() > deadline:
            raise TimeoutError
    return b"".join(chunks)
