"""The REST interface of TensorFlow Serving for a `ServedModel`: prediction by column, status and metadata."""

from __future__ import annotations

import base64
import contextlib
import http.server
import json
import re
import time
from typing import Any

import numpy as np
import tensorflow as tf
from google.protobuf import json_format
from tensorflow_serving.apis import get_model_metadata_pb2

from tests.serving.cc_session import RunError
from tests.serving.served_model import INVALID_ARGUMENT, Fault, ServedModel

_PATH = re.compile(r"/v1/models/(?P<name>[^/:]+)(?:/versions/(?P<version>\d+))?(?P<what>|/metadata|:predict)")
_STATUS = {0: 200, 3: 400, 4: 504, 5: 404, 8: 429, 9: 400, 11: 400, 12: 501, 14: 503}
"""HTTP status by gRPC status code; any other code gives 500."""


def make_server(model: ServedModel) -> http.server.ThreadingHTTPServer:
    """Return a server on a free local port, to be run by `serve_forever`."""

    class Handler(_Handler):
        served = model

    return http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)


class _Handler(http.server.BaseHTTPRequestHandler):
    served: ServedModel

    def do_GET(self) -> None:
        self._answer(b"")

    def do_POST(self) -> None:
        self._answer(self.rfile.read(int(self.headers["Content-Length"])))

    def log_message(self, format: str, *args: Any) -> None:
        """Print nothing."""

    def _answer(self, body: bytes) -> None:
        path = _PATH.fullmatch(self.path)
        is_status = path is not None and not path["what"]
        fault = Fault() if is_status else self.served.record((self.path, dict(self.headers), body))
        if fault.is_lost:
            return
        code, answer = self._run(path, body, fault)
        chunks = fault.chunks or (json.dumps(answer).encode(),)
        self.send_response(fault.status or _STATUS.get(code, 500))
        for name, value in {"Content-Length": str(sum(map(len, chunks))), **fault.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        with contextlib.suppress(OSError):  # The client may have closed the connection.
            for chunk in chunks:
                time.sleep(fault.seconds)
                self.wfile.write(chunk)

    def _run(self, path: re.Match[str] | None, body: bytes, fault: Fault) -> tuple[int, dict[str, Any]]:
        """Return the gRPC status code and the answer."""
        if fault.code:
            return fault.code, {"error": "its reason"}
        if fault.outputs or fault.chunks:
            return 0, _format_outputs(fault.outputs or {})
        try:
            if path is None or (path["what"] == ":predict") != (self.command == "POST"):
                raise RunError(INVALID_ARGUMENT, f"Malformed request: {self.command} {self.path}")
            self.served.check_name(path["name"], None if path["version"] is None else int(path["version"]))
            if path["what"] == ":predict":
                return 0, _predict(self.served, body)
            return 0, _metadata(self.served) if path["what"] else _status(self.served)
        except RunError as error:
            return error.code, {"error": str(error)}


def _status(model: ServedModel) -> dict[str, Any]:
    status = {"error_code": "OK", "error_message": ""}
    return {"model_version_status": [{"version": str(model.version), "state": model.state, "status": status}]}


def _metadata(model: ServedModel) -> dict[str, Any]:
    signatures = get_model_metadata_pb2.SignatureDefMap(signature_def=model.session.signatures)
    written = json_format.MessageToDict(
        signatures, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    return {
        "model_spec": {"name": model.name, "signature_name": "", "version": str(model.version)},
        "metadata": {"signature_def": written},
    }


def _predict(model: ServedModel, body: bytes) -> dict[str, Any]:
    try:
        request = json.loads(body)
        name, inputs = request.get("signature_name", "serving_default"), dict(request["inputs"])
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise RunError(INVALID_ARGUMENT, f"JSON Parse error: {error!r}") from error
    if name not in model.session.signatures:
        raise RunError(INVALID_ARGUMENT, f'Serving signature name: "{name}" not found in signature def')
    tensors = model.signature(name).inputs
    for key in tensors:
        if key not in inputs:
            raise RunError(INVALID_ARGUMENT, f"Missing named input: {key} in 'inputs' object.")
    # Unknown inputs are ignored, as in TensorFlow Serving.
    return _format_outputs(
        model.predict(name, {key: _to_array(key, inputs[key], tensors[key].dtype) for key in tensors})
    )


def _to_array(name: str, value: Any, dtype: int) -> np.ndarray:
    """Convert JSON to an array of the signature's type; integers must be whole and in range."""
    expected = tf.as_dtype(dtype).as_numpy_dtype
    try:
        np.array(value).astype(expected, casting="same_kind")
        return np.array(value, expected)
    except (ValueError, TypeError, OverflowError) as error:
        raise RunError(INVALID_ARGUMENT, f"JSON Value of {name} is not of expected type: {error}") from error


def _format_outputs(outputs: dict[str, np.ndarray]) -> dict[str, Any]:
    """Return outputs as JSON; a single output has no name, and bytes are in base64."""
    columns = {
        name: [{"b64": base64.b64encode(file).decode()} for file in array] if array.dtype == object else array.tolist()
        for name, array in outputs.items()
    }
    return {"outputs": next(iter(columns.values())) if len(columns) == 1 else columns}
