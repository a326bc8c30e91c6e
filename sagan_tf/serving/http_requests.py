"""HTTP requests with a deadline."""

from __future__ import annotations

import contextlib
import functools
import math
import pathlib
import ssl
import time
from typing import Any

import requests
import urllib3
from urllib3.exceptions import HTTPError, NewConnectionError, ProtocolError, ProxyError

_BUSY_ERRORS = (NewConnectionError, ProtocolError, ProxyError)
_TIMEOUT_ERRORS = (requests.Timeout, urllib3.exceptions.TimeoutError)
_HEADERS = {"Content-Type": "application/json", "Accept-Encoding": "identity"}
_CHUNK_BYTES = 1 << 20
_MAX_REASON_BYTES = 1 << 16
_MIN_TIMEOUT_S = 0.001


def send(url: str, body: bytes | None, timeout_s: float) -> tuple[int, bytes]:
    """Send a request once.

    Args:
        url: The address.
        body: JSON to post; None: a GET request.
        timeout_s: The time for the complete answer, in seconds. It is checked after each part of the body; the wait for
            one part is limited by urllib3, which begins anew for each part.

    Returns:
        The status and the body of the answer. The body of a refusal is cut off after about 64 KB, and is the name
        of the status if it is empty or late.

    Raises:
        TimeoutError: If the answer is not complete in time.
        ConnectionError: If the server cannot be reached or does not complete its answer.
        OSError: If the request fails in another way.
    """
    try:
        return _send(url, body, timeout_s)
    except (requests.RequestException, HTTPError) as error:
        raise _simplify(error) from error


def _simplify(error: requests.RequestException | HTTPError) -> OSError:
    """Return an error of requests or urllib3 as one of Python's own, with the innermost reason as its message."""
    cause = error.args[0] if error.args and isinstance(error.args[0], HTTPError) else error
    cause = getattr(cause, "reason", cause)  # urllib3 wraps the error of an attempt that is not repeated.
    # urllib3 keeps the error of the system as the cause or as the last argument.
    reason = str(cause.__cause__ or (cause.args[-1] if cause.args else "")) or type(cause).__name__
    if isinstance(cause, _BUSY_ERRORS):  # For urllib3, a refused connection is a timeout too.
        return ConnectionError(reason)
    return TimeoutError(reason) if isinstance(cause, _TIMEOUT_ERRORS) else OSError(reason)


def _send(url: str, body: bytes | None, timeout_s: float) -> tuple[int, bytes]:
    deadline = time.monotonic() + timeout_s
    method = "GET" if body is None else "POST"
    timeout = urllib3.Timeout(total=max(timeout_s, _MIN_TIMEOUT_S))
    # TensorFlow Serving does not redirect, and another server must not receive the request.
    options: dict[str, Any] = {"timeout": timeout, "allow_redirects": False, "stream": True}
    with (
        _create_session(url) as session,
        session.request(method, url, data=body, headers=_HEADERS, **options) as answer,
    ):
        if answer.status_code == 200:
            return 200, _read(answer.raw, deadline)
        content = b""
        with contextlib.suppress(HTTPError, TimeoutError):
            content = _read(answer.raw, deadline, _MAX_REASON_BYTES)
        return answer.status_code, content or answer.reason.encode()


def _create_session(url: str) -> requests.Session:
    session = requests.Session()
    session.auth = lambda request: request  # By default, requests sends the passwords in ~/.netrc.
    if url.startswith("https:"):
        session.verify = _find_certificates()
    return session


def _find_certificates() -> str | bool:
    """Return the path of the system's certificates, or True for those of requests if the system has none.

    The system may have certificates of a private authority.
    """
    paths = ssl.get_default_verify_paths()
    if paths.cafile:
        return paths.cafile
    return paths.capath if paths.capath and _has_certificates(paths.capath) else True


@functools.cache  # The directory may have hundreds of files, and is needed for every request.
def _has_certificates(directory: str) -> bool:
    # OpenSSL reads only files that are named after a hash, such as 5ed36f99.0.
    return any(pathlib.Path(directory).glob("*.[0-9]"))


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
