"""The REST connection to TensorFlow Serving, which needs no gRPC and no protobuf."""

from __future__ import annotations

import base64
import binascii
import json
import urllib.parse
from collections.abc import Mapping
from typing import Any

import numpy as np

from sagan_tf.errors import UserError
from sagan_tf.serving.contract import SignatureContract, TensorContract
from sagan_tf.serving.http_requests import send
from sagan_tf.serving.retries import MAX_ATTEMPTS, send_until_answered
from sagan_tf.serving.transports import (
    ModelMetadata,
    ServerBusyError,
    format_failure,
    make_refusal_error,
    make_timeout_error,
)

_BUSY_STATUSES = (429, 502, 503)
_REFUSAL_STATUSES = (400, 404)
_TIMEOUT_STATUS = 504
_DTYPES = {"DT_FLOAT": "float32", "DT_INT32": "int32", "DT_INT64": "int64", "DT_STRING": "string"}


class RestTransport:
    """A REST connection to a model of a server.

    Args:
        server: HOST:PORT, or an address that begins with http:// or https://.
        model: The name of the model.
        version: The version of the model; None: the newest.
    """

    def __init__(self, server: str, model: str, version: int | None = None) -> None:
        address = server if "://" in server else f"http://{server}"
        if not address.startswith(("http://", "https://")):
            raise UserError(f"server: expected HOST:PORT or http(s)://HOST:PORT for REST, received {server}")
        self._server, self._model = server, model if version is None else f"{model} version {version}"
        name = urllib.parse.quote(model, safe="")
        self._url = f"{address.rstrip('/')}/v1/models/{name}" + ("" if version is None else f"/versions/{version}")

    def predict(self, signature: str, inputs: Mapping[str, np.ndarray], output: str, timeout_s: float) -> np.ndarray:
        """Send unchecked inputs and return an output; see `Transport`."""
        request = {"signature_name": signature, "inputs": {name: array.tolist() for name, array in inputs.items()}}
        answer = self._request(":predict", timeout_s, json.dumps(request).encode(), signature)
        try:
            values = answer["outputs"]
            # A single output has no name in the answer.
            values = values[output] if isinstance(values, dict) and output in values else values
            return _to_array(values)
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(
                f"{signature}: expected an output {output}, received an answer without it ({error})"
            ) from error

    def metadata(self, timeout_s: float) -> ModelMetadata:
        """Return the server's description of the model; see `Transport`."""
        answer = self._request("/metadata", timeout_s)
        try:
            signatures = answer["metadata"]["signature_def"]["signature_def"]
            return ModelMetadata(
                answer["model_spec"]["name"],
                int(answer["model_spec"]["version"]),
                {
                    name: SignatureContract(_parse_tensors(signature["inputs"]), _parse_tensors(signature["outputs"]))
                    for name, signature in signatures.items()
                    if not name.startswith("__")  # TensorFlow's own signatures, which initialize the variables
                },
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise UserError(format_failure(self._server, f"the metadata cannot be read ({error!r})")) from error

    def is_ready(self, timeout_s: float) -> bool:
        """Return whether the model is served now; see `Transport`."""
        try:
            versions = self._request("", timeout_s, max_attempts=1)["model_version_status"]
            return any(version["state"] == "AVAILABLE" for version in versions)
        except (UserError, KeyError, TypeError):
            return False

    def close(self) -> None:
        """Do nothing: every request has a connection of its own."""

    def _request(
        self,
        path: str,
        timeout_s: float,
        body: bytes | None = None,
        signature: str = "",
        max_attempts: int = MAX_ATTEMPTS,
    ) -> Any:
        try:
            content = send_until_answered(
                lambda remaining_s: self._send_once(path, body, remaining_s, signature), timeout_s, max_attempts
            )
        except TimeoutError as error:
            raise make_timeout_error(self._server, timeout_s) from error
        try:
            return json.loads(content)
        except (ValueError, RecursionError) as error:
            raise UserError(format_failure(self._server, f"the answer is not JSON ({error})")) from error

    def _send_once(self, path: str, body: bytes | None, timeout_s: float, signature: str) -> bytes:
        """Send a request once and return the body of the answer.

        Raises:
            TimeoutError: If there is no answer in time.
            UserError: If the answer is an error.
        """
        try:
            status, content = send(self._url + path, body, timeout_s)
        except TimeoutError:
            raise
        except OSError as error:
            kind = ServerBusyError if isinstance(error, ConnectionError) else UserError
            raise kind(format_failure(self._server, str(error))) from error
        if status == _TIMEOUT_STATUS:
            raise TimeoutError
        if status != 200:
            raise self._translate_status(status, _parse_reason(content), signature)
        return content

    def _translate_status(self, status: int, reason: str, signature: str) -> UserError:
        if status in _BUSY_STATUSES:
            return ServerBusyError(format_failure(self._server, f"HTTP status {status}: {reason}"))
        if status in _REFUSAL_STATUSES:
            return make_refusal_error(self._server, self._model, signature, reason, status == 404)
        return UserError(format_failure(self._server, f"HTTP status {status}: {reason}"))


def _parse_reason(content: bytes) -> str:
    """Return the server's message: TensorFlow Serving's {"error": ...}, or the text of a proxy before it."""
    text = content.decode("utf-8", "replace")
    try:
        return str(json.loads(text)["error"])
    except (ValueError, TypeError, KeyError, RecursionError):
        return text


def _to_array(values: Any) -> np.ndarray:
    """Return an output as an array.

    The contract has only two kinds of outputs: numbers, which become float32, and files, which are given as
    {"b64": ...} and become an object array of bytes.
    """
    if isinstance(values, list) and values and isinstance(values[0], dict):
        files: np.ndarray = np.empty(len(values), object)
        try:
            files[:] = [base64.b64decode(value["b64"], validate=True) for value in values]
        except binascii.Error as error:
            raise ValueError(f"not base64: {error}") from error
        return files
    return np.asarray(values, np.float32)


def _parse_tensors(infos: Mapping[str, Any]) -> dict[str, TensorContract]:
    return {
        name: TensorContract(
            _DTYPES.get(info["dtype"], info["dtype"]),
            tuple(int(dim["size"]) for dim in info["tensor_shape"].get("dim", ())),
        )
        for name, info in infos.items()
    }
