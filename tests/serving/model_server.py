"""A server for tests that answers as TensorFlow Serving does, with its official gRPC services and its REST interface.

The model runs in TensorFlow's C++ session; see `cc_session`. The server can be made to answer wrongly, late or not at
all; see `Fault`. Where TensorFlow Serving is installed, the same tests can run against it:
`start_server(base_path, program="tensorflow_model_server")`.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import pathlib
import shutil
import subprocess
import threading
import time
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

from sagan_tf.serving.connection import Client
from sagan_tf.serving.contract import MODEL_NAME
from tests.serving.cc_session import RunError
from tests.serving.rest_server import make_server
from tests.serving.served_model import INVALID_ARGUMENT, Fault, ServedModel
from tests.workers import find_free_ports

TENSORFLOW_SERVING = "tensorflow_model_server"
_START_S = 60
_CODES = {code.value[0]: code for code in grpc.StatusCode}
_OPTIONS = (("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1))


@dataclasses.dataclass(frozen=True)
class ModelServer:
    """A running server.

    Attributes:
        grpc: HOST:PORT of the gRPC interface.
        rest: HOST:PORT of the REST interface.
        model: The served model; None for TensorFlow Serving, which has no faults.
    """

    grpc: str
    rest: str
    model: ServedModel | None = None

    def get_address(self, interface: str) -> str:
        """Return HOST:PORT of the interface `grpc` or `rest`."""
        return self.rest if interface == "rest" else self.grpc


def is_installed() -> bool:
    """Return whether TensorFlow Serving is installed."""
    return shutil.which(TENSORFLOW_SERVING) is not None


@contextlib.contextmanager
def start_server(base_path: pathlib.Path, name: str = MODEL_NAME, program: str | None = None) -> Iterator[ModelServer]:
    """Serve the newest version of a model.

    Args:
        base_path: The parent directory of the versions.
        name: The name of the model.
        program: The executable of TensorFlow Serving; None: the server of this file.
    """
    with _start_in_process(base_path, name) if program is None else _start_program(program, base_path, name) as server:
        yield server


@contextlib.contextmanager
def _start_in_process(base_path: pathlib.Path, name: str) -> Iterator[ModelServer]:
    model = ServedModel(base_path, name)
    rest = make_server(model)
    thread = threading.Thread(target=rest.serve_forever, kwargs={"poll_interval": 0.05})
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(8), options=_OPTIONS)
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(_Services(model), server)
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(_Services(model), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    thread.start()
    try:
        yield ModelServer(f"127.0.0.1:{port}", f"127.0.0.1:{rest.server_address[1]}", model)
    finally:
        rest.shutdown()
        rest.server_close()
        server.stop(None).wait()
        thread.join()
        model.session.close()


@contextlib.contextmanager
def _start_program(program: str, base_path: pathlib.Path, name: str) -> Iterator[ModelServer]:
    ports = find_free_ports(2)
    server = ModelServer(f"127.0.0.1:{ports[0]}", f"127.0.0.1:{ports[1]}")
    flags = [f"--port={ports[0]}", f"--rest_api_port={ports[1]}", f"--model_name={name}"]
    command = [program, *flags, f"--model_base_path={base_path.resolve()}"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            _wait_until_ready(server.rest, name, process)
            yield server
        finally:
            process.terminate()


def _wait_until_ready(address: str, name: str, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + _START_S
    with Client(address, rest=True, model=name, timeout_s=1.0) as client:
        while not client.is_ready():
            assert process.poll() is None, f"{process.args!r} ended with status {process.returncode}"
            assert time.monotonic() < end, f"{process.args!r} is not ready after {_START_S} s"
            time.sleep(0.1)


def _method(answer: Callable[[Any, Any, Fault], Any]) -> Callable[[Any, Any, Any], Any]:
    """Return a method of a gRPC service that translates a fault or a RunError into a gRPC error."""

    def call(services: _Services, request: Any, context: Any) -> Any:
        is_status = isinstance(request, get_model_status_pb2.GetModelStatusRequest)
        fault = Fault() if is_status else services.model.record(request)
        time.sleep(fault.seconds)
        if fault.code:
            context.abort(_CODES[fault.code], "its reason")
        try:
            spec = request.model_spec
            services.model.check_name(spec.name, spec.version.value if spec.HasField("version") else None)
            return answer(services, request, fault)
        except RunError as error:
            context.abort(_CODES[error.code], str(error))

    return call


class _Services(prediction_service_pb2_grpc.PredictionServiceServicer, model_service_pb2_grpc.ModelServiceServicer):
    """The gRPC services; the names of the methods are those of TensorFlow Serving."""

    def __init__(self, model: ServedModel) -> None:
        self.model = model

    @_method
    def Predict(self, request: Any, fault: Fault) -> Any:  # noqa: N802
        inputs = {name: _to_array(name, tensor) for name, tensor in request.inputs.items()}
        spec, answer = request.model_spec, predict_pb2.PredictResponse()
        answer.model_spec.name, answer.model_spec.version.value = spec.name, self.model.version
        answer.model_spec.signature_name = spec.signature_name or "serving_default"
        for name, array in (fault.outputs or self.model.predict(spec.signature_name, inputs)).items():
            answer.outputs[name].CopyFrom(tf.make_tensor_proto(array))
        return answer

    @_method
    def GetModelMetadata(self, request: Any, _: Fault) -> Any:  # noqa: N802
        if list(request.metadata_field) != ["signature_def"]:
            raise RunError(INVALID_ARGUMENT, "GetModelMetadataRequest must specify at least one metadata_field")
        answer = get_model_metadata_pb2.GetModelMetadataResponse()
        answer.model_spec.name, answer.model_spec.version.value = self.model.name, self.model.version
        signatures = self.model.session.signatures
        answer.metadata["signature_def"].Pack(get_model_metadata_pb2.SignatureDefMap(signature_def=signatures))
        return answer

    @_method
    def GetModelStatus(self, request: Any, _: Fault) -> Any:  # noqa: N802
        state = get_model_status_pb2.ModelVersionStatus(version=self.model.version, state=self.model.state)
        return get_model_status_pb2.GetModelStatusResponse(model_version_status=[state])


def _to_array(name: str, tensor: Any) -> np.ndarray:
    try:
        return tf.make_ndarray(tensor)
    except (TypeError, ValueError) as error:
        raise RunError(INVALID_ARGUMENT, f"tensor parsing error: {name}") from error
