"""The REST interface of TensorFlow Serving for a `ServedModel`: prediction by row and by column, status, metadata."""

from __future__ import annotations

import base64
import http.server
import json
import re
from typing import Any

import numpy as np
import tensorflow as tf
from google.protobuf import json_format
from tensorflow.core.framework import types_pb2
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow_serving.apis import get_model_metadata_pb2

from tests.serving.cc_session import RunError
from tests.serving.served_model import INVALID_ARGUMENT, ServedModel

_PATH = re.compile(r"/v1/models/(?P<name>[^/:]+)(?:/versions/(?P<version>\d+))?(?P<what>|/metadata|:predict)")
_STATUS = {3: 400, 4: 504, 5: 404, 8: 429, 9: 400, 11: 400, 12: 501, 14: 503}
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
        self._answer(self.rfile.read(int(self.headers.get("Content-Length", 0))))

    def log_message(self, format: str, *args: Any) -> None:
        """Print nothing."""

    def _answer(self, body: bytes) -> None:
        try:
            status, answer = 200, self._result(body)
        except RunError as error:
            status, answer = _STATUS.get(error.code, 500), {"error": str(error)}
        content = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _result(self, body: bytes) -> dict[str, Any]:
        path = _PATH.fullmatch(self.path)
        if path is None or (path["what"] == ":predict") != (self.command == "POST"):
            raise RunError(INVALID_ARGUMENT, f"Malformed request: {self.command} {self.path}")
        version = None if path["version"] is None else int(path["version"])
        if path["what"] == "":
            return _status(self.served, path["name"], version)
        self.served.check_name(path["name"], version)
        return _metadata(self.served) if path["what"] == "/metadata" else _predict(self.served, body)


def _status(model: ServedModel, name: str, version: int | None) -> dict[str, Any]:
    try:
        model.check_name(name, version)
    except RunError as error:
        raise RunError(error.code, f"Could not find any versions of model {name}") from error
    state = {"version": str(model.version), "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}
    return {"model_version_status": [state]}


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
        assert isinstance(request, dict)
    except (ValueError, AssertionError) as error:
        raise RunError(INVALID_ARGUMENT, f"JSON Parse error: {error}") from error
    name = request.get("signature_name", "serving_default")
    if name not in model.session.signatures:
        raise RunError(INVALID_ARGUMENT, f'Serving signature name: "{name}" not found in signature def')
    signature = model.signature(name)
    if ("instances" in request) == ("inputs" in request):
        raise RunError(INVALID_ARGUMENT, "Missing 'inputs' or 'instances' key, or both are given")
    by_row = "instances" in request
    columns = _columns_from_rows(request["instances"], signature) if by_row else _columns(request["inputs"], signature)
    arrays = {key: _to_array(key, value, signature.inputs[key].dtype) for key, value in columns.items()}
    outputs = {key: _to_json(key, array) for key, array in model.predict(name, arrays).items()}
    if not by_row:
        return {"outputs": next(iter(outputs.values())) if len(outputs) == 1 else outputs}
    if len(outputs) == 1:
        return {"predictions": next(iter(outputs.values()))}
    return {"predictions": [dict(zip(outputs, row, strict=True)) for row in zip(*outputs.values(), strict=True)]}


def _columns(inputs: Any, signature: meta_graph_pb2.SignatureDef) -> dict[str, Any]:
    """Return the values of all inputs by name; unknown inputs are ignored, as in TensorFlow Serving."""
    if not isinstance(inputs, dict) or set(inputs) == {"b64"}:
        if len(signature.inputs) > 1:
            raise RunError(
                INVALID_ARGUMENT,
                "inputs is a plain value/list, but expecting an object as multiple input tensors required as per "
                "tensorinfo_map",
            )
        return {next(iter(signature.inputs)): inputs}
    for name in signature.inputs:
        if name not in inputs:
            raise RunError(INVALID_ARGUMENT, f"Missing named input: {name} in 'inputs' object.")
    return {name: inputs[name] for name in signature.inputs}


def _columns_from_rows(rows: Any, signature: meta_graph_pb2.SignatureDef) -> dict[str, Any]:
    """Return the values of all inputs by name from a list of rows."""
    if not isinstance(rows, list) or not rows:
        raise RunError(INVALID_ARGUMENT, "Expecting non-empty 'instances' list")
    if not all(isinstance(row, dict) for row in rows):
        return _columns(rows, signature)
    for row in rows:
        if set(row) != set(signature.inputs):
            expected, received = sorted(signature.inputs), sorted(row)
            raise RunError(INVALID_ARGUMENT, f"Failed to process element: expected keys {expected}, got {received}")
    return {name: [row[name] for row in rows] for name in signature.inputs}


def _to_array(name: str, value: Any, dtype: int) -> np.ndarray:
    """Convert JSON to an array of the signature's type; integers must be whole and in range."""
    expected_dtype = tf.as_dtype(dtype)
    try:
        array = np.array(_decode_base64(value), object if expected_dtype == tf.string else None)
    except ValueError as error:
        raise RunError(INVALID_ARGUMENT, f"Encountered list at unexpected level in {name}: {error}") from error
    kinds = "iuf" if expected_dtype.is_floating else "iu"
    fits = expected_dtype == tf.string or array.size == 0 or array.dtype.kind in kinds
    if fits and expected_dtype.is_integer and array.size:
        fits = expected_dtype.min <= int(array.min()) and int(array.max()) <= expected_dtype.max
    if not fits:
        kind = types_pb2.DataType.Name(dtype)
        raise RunError(INVALID_ARGUMENT, f"JSON Value: {str(value)[:100]} is not of expected type: {kind}")
    return array if expected_dtype == tf.string else array.astype(expected_dtype.as_numpy_dtype)


def _decode_base64(value: Any) -> Any:
    if isinstance(value, list):
        return [_decode_base64(element) for element in value]
    if isinstance(value, dict):
        return base64.b64decode(value["b64"])
    return value.encode() if isinstance(value, str) else value


def _to_json(name: str, array: np.ndarray) -> Any:
    if array.dtype != object:
        return array.tolist()
    if name.endswith("_bytes"):
        return _map_nested(array.tolist(), lambda text: {"b64": base64.b64encode(text).decode()})
    return _map_nested(array.tolist(), lambda text: text.decode("utf-8", "replace"))


def _map_nested(value: Any, function: Any) -> Any:
    return [_map_nested(element, function) for element in value] if isinstance(value, list) else function(value)
