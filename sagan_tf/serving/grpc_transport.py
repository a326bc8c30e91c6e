"""The way to TensorFlow Serving by gRPC."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import grpc
import numpy as np

from sagan_tf.errors import UserError
from sagan_tf.serving import messages
from sagan_tf.serving.contract import SignatureContract, TensorContract
from sagan_tf.serving.transports import Busy, ModelMetadata, failure, late, refusal

_OPTIONS = (
    # A batch of pictures as numbers is larger than the 4 MB that gRPC takes unless it is told to.
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    # After a refused connection gRPC would not look again for a second, however soon the next attempt comes.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
)


class GrpcTransport:
    """A model of a server, by gRPC.

    Args:
        server: HOST:PORT.
        model: its name.
        version: of the model; None for the newest.
    """

    def __init__(self, server: str, model: str, version: int | None = None) -> None:
        if "://" in server:
            raise UserError(f"server: expected HOST:PORT for gRPC, received {server}")
        self._server, self._model, self._version = server, model, version
        self._channel = grpc.insecure_channel(server, options=_OPTIONS)
        self._predict = self._method("PredictionService/Predict", messages.PredictResponse)
        self._metadata = self._method("PredictionService/GetModelMetadata", messages.GetModelMetadataResponse)
        self._status = self._method("ModelService/GetModelStatus", messages.GetModelStatusResponse)

    def predict(self, signature: str, inputs: Mapping[str, np.ndarray], output: str, timeout_s: float) -> np.ndarray:
        """See `Transport`."""
        spec = messages.model_spec(self._model, self._version, signature)
        answer = self._call(self._predict, messages.predict_request(spec, inputs), timeout_s, signature)
        if output not in answer.outputs:
            raise UserError(f"{signature}: expected an output {output}, received {', '.join(sorted(answer.outputs))}")
        return messages.to_array(answer.outputs[output])

    def metadata(self, timeout_s: float) -> ModelMetadata:
        """See `Transport`."""
        spec = messages.model_spec(self._model, self._version)
        request = messages.GetModelMetadataRequest(model_spec=spec, metadata_field=["signature_def"])
        answer = self._call(self._metadata, request, timeout_s)
        signatures = messages.SignatureDefMap.FromString(answer.metadata["signature_def"].value).signature_def
        return ModelMetadata(
            answer.model_spec.name,
            answer.model_spec.version.value,
            {
                name: SignatureContract(_tensors(one.inputs), _tensors(one.outputs))
                for name, one in signatures.items()
                if not name.startswith("__")  # TensorFlow's own: how the model's variables are set at its start
            },
        )

    def is_ready(self, timeout_s: float) -> bool:
        """See `Transport`."""
        request = messages.GetModelStatusRequest(model_spec=messages.model_spec(self._model, self._version))
        try:
            answer = self._call(self._status, request, timeout_s)
        except UserError:
            return False
        return any(one.state == messages.AVAILABLE for one in answer.model_version_status)

    def close(self) -> None:
        """End the connection."""
        self._channel.close()

    def _method(self, name: str, answer: Any) -> Any:
        return self._channel.unary_unary(
            f"/tensorflow.serving.{name}",
            request_serializer=lambda request: request.SerializeToString(),
            response_deserializer=answer.FromString,
        )

    def _call(self, method: Any, request: Any, timeout_s: float, signature: str = "") -> Any:
        try:
            return method(request, timeout=timeout_s)
        except grpc.RpcError as error:
            code, reason = error.code(), error.details() or ""
            raise self._translated(code, reason, timeout_s, signature) from error

    def _translated(self, code: Any, reason: str, timeout_s: float, signature: str) -> UserError:
        codes = grpc.StatusCode
        if code in (codes.UNAVAILABLE, codes.RESOURCE_EXHAUSTED):
            return Busy(failure(self._server, f"{code.name}: {reason}"))
        if code == codes.DEADLINE_EXCEEDED:
            return late(self._server, timeout_s)
        if code in (codes.INVALID_ARGUMENT, codes.FAILED_PRECONDITION, codes.OUT_OF_RANGE, codes.NOT_FOUND):
            model = self._model if self._version is None else f"{self._model} version {self._version}"
            return refusal(self._server, model, signature, reason, code == codes.NOT_FOUND)
        return UserError(failure(self._server, f"{code.name}: {reason}"))


def _tensors(described: Mapping[str, Any]) -> dict[str, TensorContract]:
    names = {number: name for name, number in messages.DTYPES.items()}
    return {
        name: TensorContract(names.get(one.dtype, str(one.dtype)), tuple(dim.size for dim in one.tensor_shape.dim))
        for name, one in described.items()
    }
