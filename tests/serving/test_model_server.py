"""The tests' server answers the official client."""

from __future__ import annotations

import grpc
import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

from tests.serving.model_server import ModelServer
from tests.serving.small_model import read_color

INPUTS = {
    "seeds": np.array([258, 1], np.int64),
    "labels": np.array([2, 0], np.int32),
    "truncation": np.array([0.5, 8.0], np.float32),
}


def test_the_official_client_reads_the_answer(server: ModelServer) -> None:
    request = predict_pb2.PredictRequest()
    request.model_spec.name, request.model_spec.signature_name = "sagan", "generate"
    for name, values in INPUTS.items():
        request.inputs[name].CopyFrom(tf.make_tensor_proto(values))
    with grpc.insecure_channel(server.grpc) as channel:
        answer = prediction_service_pb2_grpc.PredictionServiceStub(channel).Predict(request, timeout=20)
    assert [read_color(png) for png in tf.make_ndarray(answer.outputs["png_bytes"])] == [[2, 2, 5], [1, 0, 80]]
    assert answer.model_spec.version.value == 3
