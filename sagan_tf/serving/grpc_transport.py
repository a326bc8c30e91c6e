"""The gRPC connection to TensorFlow Serving."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import grpc
import numpy as np

from sagan_tf.errors import UserError
from sagan_tf.serving import messages
from sagan_tf.serving.contract import SignatureContract, TensorContract
from sagan_tf.serving.retries import MAX_ATTEMPTS, send_until_answered
from sagan_tf.serving.transports import (
    ModelMetadata,
    ServerBusyError,
    format_failure,
    make_refusal_error,
    make_timeout_error,
)

_CODES = grpc.StatusCode
_BUSY_CODES = (_CODES.UNAVAILABLE, _CODES.RESOURCE_EXHAUSTED)
_REFUSAL_CODES = (_CODES.INVALID_ARGUMENT, _CODES.FAILED_PRECONDITION, _CODES.OUT_OF_RANGE, _CODES.NOT_FOUND)
_OPTIONS = (
    # A batch of images as numbers exceeds gRPC's default limit of 4 MB.
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    # By default, gRPC waits a second after a refused connection, even if the next attempt comes earlier.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
)


class GrpcTransport:
    """A gRPC connection to a model of a server.

    Args:
        server: HOST:PORT.
        model: The name of the model.
        version: The version of the model; None: the newest.
    """

    def __init__(self, server: str, model: str, version: int | None = None) -> None:
        if "://" in server:
            raise UserError(f"server: expected HOST:PORT for gRPC, received {server}")
        self._server, self._model, self._version = server, model, version
        self._channel = grpc.insecure_channel(server, options=_OPTIONS)
        self._predict = self._create_method("PredictionService/Predict", messages.PredictResponse)
        self._metadata = self._create_method("PredictionService/GetModelMetadata", messages.GetModelMetadataResponse)
        self._status = self._create_method("ModelService/GetModelStatus", messages.GetModelStatusResponse)

    def predict(self, signature: str, inputs: Mapping[str, np.ndarray], output: str, timeout_s: float) -> np.ndarray:
        """Send unchecked inputs and return an output; see `Transport`."""
        spec = messages.make_model_spec(self._model, self._version, signature)
        answer = self._call(self._predict, messages.make_predict_request(spec, inputs), timeout_s, signature)
        if output not in answer.outputs:
            raise UserError(f"{signature}: expected an output {output}, received {', '.join(sorted(answer.outputs))}")
        return messages.to_array(answer.outputs[output])

    def metadata(self, timeout_s: float) -> ModelMetadata:
        """Return the server's description of the model; see `Transport`."""
        spec = messages.make_model_spec(self._model, self._version)
        request = messages.GetModelMetadataRequest(model_spec=spec, metadata_field=["signature_def"])
        answer = self._call(self._metadata, request, timeout_s)
        signatures = messages.SignatureDefMap.FromString(answer.metadata["signature_def"].value).signature_def
        return ModelMetadata(
            answer.model_spec.name,
            answer.model_spec.version.value,
            {
                name: SignatureContract(_parse_tensors(signature.inputs), _parse_tensors(signature.outputs))
                for name, signature in signatures.items()
                if not name.startswith("__")  # TensorFlow's own signatures, which initialize the variables
            },
        )

    def is_ready(self, timeout_s: float) -> bool:
        """Return whether the model is served now; see `Transport`."""
        request = messages.GetModelStatusRequest(model_spec=messages.make_model_spec(self._model, self._version))
        try:
            answer = self._call(self._status, request, timeout_s, max_attempts=1)
        except UserError:
            return False
        return any(version.state == messages.AVAILABLE for version in answer.model_version_status)

    def close(self) -> None:
        """Close the connection."""
        self._channel.close()

    def _create_method(self, name: str, answer: Any) -> Any:
        return self._channel.unary_unary(
            f"/tensorflow.serving.{name}",
            request_serializer=lambda request: request.SerializeToString(),
            response_deserializer=answer.FromString,
        )

    def _call(
        self, method: Any, request: Any, timeout_s: float, signature: str = "", max_attempts: int = MAX_ATTEMPTS
    ) -> Any:
        try:
            return send_until_answered(
                lambda remaining_s: self._call_once(method, request, remaining_s, signature), timeout_s, max_attempts
            )
        except TimeoutError as error:
            raise make_timeout_error(self._server, timeout_s) from error

    def _call_once(self, method: Any, request: Any, timeout_s: float, signature: str) -> Any:
        """Send a request once.

        Raises:
            TimeoutError: If there is no answer in time.
            UserError: If the answer is an error.
        """
        try:
            return method(request, timeout=timeout_s)
        except grpc.RpcError as error:
            if error.code() == _CODES.DEADLINE_EXCEEDED:
                raise TimeoutError from error
            raise self._translate_status(error.code(), error.details() or "", signature) from error

    def _translate_status(self, code: Any, reason: str, signature: str) -> UserError:
        if code in _BUSY_CODES:
            return ServerBusyError(format_failure(self._server, f"{code.name}: {reason}"))
        if code in _REFUSAL_CODES:
            model = self._model if self._version is None else f"{self._model} version {self._version}"
            return make_refusal_error(self._server, model, signature, reason, code == _CODES.NOT_FOUND)
        return UserError(format_failure(self._server, f"{code.name}: {reason}"))


def _parse_tensors(infos: Mapping[str, Any]) -> dict[str, TensorContract]:
    names = {number: name for name, number in messages.DTYPES.items()}
    return {
        name: TensorContract(names.get(info.dtype, str(info.dtype)), tuple(dim.size for dim in info.tensor_shape.dim))
        for name, info in infos.items()
    }
