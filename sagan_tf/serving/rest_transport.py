"""The way to TensorFlow Serving by REST, with nothing but Python and numpy."""

from __future__ import annotations

import base64
import binascii
import http.client
import json
import math
import socket
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from typing import Any

import numpy as np

from sagan_tf.errors import UserError
from sagan_tf.serving.contract import SignatureContract, TensorContract
from sagan_tf.serving.transports import Busy, ModelMetadata, failure, late, refusal

_BUSY = (429, 502, 503)
_WRONG = (400, 404)
_LATE = 504
_UNREACHED = (ConnectionError, http.client.RemoteDisconnected, socket.gaierror)
"""What asking again may help against: pictures can be asked for as often as one likes."""
_LONGEST_REASON = 1 << 16
_DTYPES = {"DT_FLOAT": "float32", "DT_INT32": "int32", "DT_INT64": "int64", "DT_STRING": "string"}
_PIECE = 1 << 20


class RestTransport:
    """A model of a server, by REST.

    Args:
        server: HOST:PORT, or an address that begins with http:// or https://.
        model: its name.
        version: of the model; None for the newest.
    """

    def __init__(self, server: str, model: str, version: int | None = None) -> None:
        address = server if "://" in server else f"http://{server}"
        if not address.startswith(("http://", "https://")):
            raise UserError(f"server: expected HOST:PORT or http(s)://HOST:PORT for REST, received {server}")
        self._server, self._model = server, model if version is None else f"{model} version {version}"
        name = urllib.parse.quote(model, safe="")
        self._url = f"{address.rstrip('/')}/v1/models/{name}" + ("" if version is None else f"/versions/{version}")

    def predict(self, signature: str, inputs: Mapping[str, np.ndarray], output: str, timeout_s: float) -> np.ndarray:
        """See `Transport`."""
        request = {"signature_name": signature, "inputs": {name: array.tolist() for name, array in inputs.items()}}
        answer = self._ask(":predict", timeout_s, json.dumps(request).encode(), signature)
        try:
            values = answer["outputs"]
            # An only output comes without its name.
            values = values[output] if isinstance(values, dict) and output in values else values
            return _to_array(values)
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(f"{signature}: expected an output {output}, received another answer ({error})") from error

    def metadata(self, timeout_s: float) -> ModelMetadata:
        """See `Transport`."""
        answer = self._ask("/metadata", timeout_s)
        try:
            signatures = answer["metadata"]["signature_def"]["signature_def"]
            return ModelMetadata(
                answer["model_spec"]["name"],
                int(answer["model_spec"]["version"]),
                {
                    name: SignatureContract(_tensors(one["inputs"]), _tensors(one["outputs"]))
                    for name, one in signatures.items()
                    if not name.startswith("__")  # TensorFlow's own: how the model's variables are set at its start
                },
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise UserError(failure(self._server, f"metadata that cannot be read ({error!r})")) from error

    def is_ready(self, timeout_s: float) -> bool:
        """See `Transport`."""
        try:
            versions = self._ask("", timeout_s)["model_version_status"]
            return any(one["state"] == "AVAILABLE" for one in versions)
        except (UserError, KeyError, TypeError):
            return False

    def close(self) -> None:
        """Nothing to do: every request has a connection of its own."""

    def _ask(self, what: str, timeout_s: float, body: bytes | None = None, signature: str = "") -> Any:
        request = urllib.request.Request(self._url + what, body, {"Content-Type": "application/json"})
        end = time.monotonic() + timeout_s
        try:
            return json.loads(_exchange(request, timeout_s))
        except urllib.error.HTTPError as error:
            with error:
                raise self._translated(error.code, _reason(error, end), timeout_s, signature) from error
        except TimeoutError as error:
            raise late(self._server, timeout_s) from error
        except (OSError, http.client.HTTPException) as error:
            cause = error.reason if isinstance(error, urllib.error.URLError) else error
            if isinstance(cause, TimeoutError):
                raise late(self._server, timeout_s) from error
            kind = Busy if isinstance(cause, _UNREACHED) else UserError
            raise kind(failure(self._server, str(cause) or type(cause).__name__)) from error
        except ValueError as error:
            raise UserError(failure(self._server, f"what is not JSON ({error})")) from error

    def _translated(self, status: int, reason: str, timeout_s: float, signature: str) -> UserError:
        if status in _BUSY:
            return Busy(failure(self._server, f"HTTP status {status}: {reason}"))
        if status == _LATE:
            return late(self._server, timeout_s)
        if status in _WRONG:
            return refusal(self._server, self._model, signature, reason, status == 404)
        return UserError(failure(self._server, f"HTTP status {status}: {reason}"))


def _exchange(request: urllib.request.Request, timeout_s: float) -> bytes:
    """Send a request and read all of the answer."""
    end = time.monotonic() + timeout_s
    with urllib.request.urlopen(request, timeout=timeout_s) as answer:
        return _read(answer, end)


def _read(answer: Any, end: float, most: float = math.inf) -> bytes:
    """Return an answer's bytes, or the first of them; raise TimeoutError also where they come, but drop by drop."""
    pieces: list[bytes] = []
    while sum(map(len, pieces)) < most and (piece := answer.read1(_PIECE)):
        pieces.append(piece)
        if time.monotonic() > end:
            raise TimeoutError
    return b"".join(pieces)


def _reason(error: urllib.error.HTTPError, end: float) -> str:
    """Return the server's words: TensorFlow Serving's {"error": ...}, or whatever a proxy before it says."""
    try:
        text = _read(error, end, _LONGEST_REASON).decode("utf-8", "replace")
    except (OSError, http.client.HTTPException):
        return error.reason
    try:
        return str(json.loads(text)["error"])
    except (ValueError, TypeError, KeyError):
        return text or error.reason


def _to_array(values: Any) -> np.ndarray:
    """Numbers as float32: the contract has no other outputs but files, which come as {"b64": ...}."""
    if isinstance(values, list) and values and isinstance(values[0], dict):
        files: np.ndarray = np.empty(len(values), object)
        try:
            files[:] = [base64.b64decode(value["b64"], validate=True) for value in values]
        except binascii.Error as error:
            raise ValueError(f"no base64: {error}") from error
        return files
    return np.asarray(values, np.float32)


def _tensors(described: Mapping[str, Any]) -> dict[str, TensorContract]:
    return {
        name: TensorContract(
            _DTYPES.get(one["dtype"], one["dtype"]),
            tuple(int(dim["size"]) for dim in one["tensor_shape"].get("dim", ())),
        )
        for name, one in described.items()
    }
