"""A server for tests that answers as TensorFlow Serving does, with its official gRPC services and its REST interface.

The model runs in TensorFlow's C++ session; see `cc_session`. Where TensorFlow Serving is installed, the same tests can
run against it: `start_server(base_path, program="tensorflow_model_server")`.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import json
import pathlib
import shutil
import subprocess
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from sagan_tf.serving.contract import MODEL_NAME
from tests.serving.cc_session import RunError
from tests.serving.rest_server import make_server
from tests.serving.served_model import INVALID_ARGUMENT, ServedModel
from tests.workers import find_free_ports

TENSORFLOW_SERVING = "tensorflow_model_server"
_START_S = 60
_CODES = {code.value[0]: code for code in grpc.StatusCode}
_OPTIONS = (("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1))


@dataclasses.dataclass(frozen=True)
class ServerAddresses:
    """The addresses HOST:PORT of the two interfaces."""

    grpc: str
    rest: str


def is_installed() -> bool:
    """Return whether TensorFlow Serving is installed."""
    return shutil.which(TENSORFLOW_SERVING) is not None


@contextlib.contextmanager
def start_server(
    base_path: pathlib.Path, name: str = MODEL_NAME, program: str | None = None
) -> Iterator[ServerAddresses]:
    """Serve the newest version of a model.

    Args:
        base_path: The parent directory of the versions.
        name: The name of the model.
        program: The executable of TensorFlow Serving; None: the server of this file.
    """
    with (
        _start_in_process(base_path, name) if program is None else _start_program(program, base_path, name) as addresses
    ):
        yield addresses


@contextlib.contextmanager
def _start_in_process(base_path: pathlib.Path, name: str) -> Iterator[ServerAddresses]:
    model = ServedModel(base_path, name)
    rest = make_server(model)
    thread = threading.Thread(target=rest.serve_forever, kwargs={"poll_interval": 0.05})
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(8), options=_OPTIONS)
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(_Predictions(model), server)
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(_Models(model), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    thread.start()
    try:
        yield ServerAddresses(f"127.0.0.1:{port}", f"127.0.0.1:{rest.server_address[1]}")
    finally:
        rest.shutdown()
        rest.server_close()
        server.stop(None).wait()
        thread.join()
        model.session.close()


@contextlib.contextmanager
def _start_program(program: str, base_path: pathlib.Path, name: str) -> Iterator[ServerAddresses]:
    ports = find_free_ports(2)
    addresses = ServerAddresses(*(f"127.0.0.1:{port}" for port in ports))
    flags = [f"--port={ports[0]}", f"--rest_api_port={ports[1]}", f"--model_name={name}"]
    command = [program, *flags, f"--model_base_path={base_path.resolve()}"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            _wait_until_ready(f"http://{addresses.rest}/v1/models/{name}", process)
            yield addresses
        finally:
            process.terminate()


def _wait_until_ready(url: str, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + _START_S
    while time.monotonic() < end:
        assert process.poll() is None, f"{process.args} ended with status {process.returncode}"
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=1) as answer:
            if json.load(answer)["model_version_status"][0]["state"] == "AVAILABLE":
                return
        time.sleep(0.1)
    raise AssertionError(f"{process.args} is not ready after {_START_S} s")


class _Predictions(prediction_service_pb2_grpc.PredictionServiceServicer):
    def __init__(self, model: ServedModel) -> None:
        self._model = model

    def Predict(self, request: predict_pb2.PredictRequest, context: Any) -> predict_pb2.PredictResponse:  # noqa: N802 (name of the gRPC method)
        return _translate_errors(context, lambda: self._predict(request))

    def GetModelMetadata(self, request: Any, context: Any) -> Any:  # noqa: N802 (name of the gRPC method)
        return _translate_errors(context, lambda: self._metadata(request))

    def _predict(self, request: predict_pb2.PredictRequest) -> predict_pb2.PredictResponse:
        spec = request.model_spec
        self._model.check_name(spec.name, _get_version(spec))
        inputs = {name: _to_array(name, tensor) for name, tensor in request.inputs.items()}
        answer = predict_pb2.PredictResponse()
        answer.model_spec.name, answer.model_spec.version.value = spec.name, self._model.version
        answer.model_spec.signature_name = spec.signature_name or "serving_default"
        for name, array in self._model.predict(spec.signature_name, inputs).items():
            if not request.output_filter or name in request.output_filter:
                answer.outputs[name].CopyFrom(tf.make_tensor_proto(array))
        return answer

    def _metadata(
        self, request: get_model_metadata_pb2.GetModelMetadataRequest
    ) -> get_model_metadata_pb2.GetModelMetadataResponse:
        self._model.check_name(request.model_spec.name, _get_version(request.model_spec))
        if list(request.metadata_field) != ["signature_def"]:
            raise RunError(INVALID_ARGUMENT, "GetModelMetadataRequest must specify at least one metadata_field")
        answer = get_model_metadata_pb2.GetModelMetadataResponse()
        answer.model_spec.name, answer.model_spec.version.value = self._model.name, self._model.version
        signatures = self._model.session.signatures
        answer.metadata["signature_def"].Pack(get_model_metadata_pb2.SignatureDefMap(signature_def=signatures))
        return answer


class _Models(model_service_pb2_grpc.ModelServiceServicer):
    def __init__(self, model: ServedModel) -> None:
        self._model = model

    def GetModelStatus(self, request: Any, context: Any) -> Any:  # noqa: N802 (name of the gRPC method)
        return _translate_errors(context, lambda: self._status(request))

    def _status(
        self, request: get_model_status_pb2.GetModelStatusRequest
    ) -> get_model_status_pb2.GetModelStatusResponse:
        self._model.check_name(request.model_spec.name, _get_version(request.model_spec))
        state = get_model_status_pb2.ModelVersionStatus(version=self._model.version, state="AVAILABLE")
        return get_model_status_pb2.GetModelStatusResponse(model_version_status=[state])


def _translate_errors(context: Any, answer: Callable[[], Any]) -> Any:
    """Return an answer, and translate a RunError into a gRPC error."""
    try:
        return answer()
    except RunError as error:
        context.abort(_CODES[error.code], str(error))


def _get_version(spec: Any) -> int | None:
    return spec.version.value if spec.HasField("version") else None


def _to_array(name: str, tensor: Any) -> np.ndarray:
    try:
        return tf.make_ndarray(tensor)
    except (TypeError, ValueError) as error:
        raise RunError(INVALID_ARGUMENT, f"tensor parsing error: {name}") from error
