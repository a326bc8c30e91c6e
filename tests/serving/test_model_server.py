"""The tests' server answers the official client, also to requests that our client never sends."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import grpc
import numpy as np
import pytest
import requests
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

from tests.serving.model_server import ModelServer
from tests.serving.small_model import read_color

GOOD = {"seeds": [258, 1], "labels": [2, 0], "truncation": [0.5, 8.0]}
FEW = {"seeds": [1], "labels": [1]}
TYPES = {"seeds": np.int64, "labels": np.int32, "truncation": np.float32}


@pytest.fixture
def stub(server: ModelServer) -> Iterator[Any]:
    with grpc.insecure_channel(server.grpc) as channel:
        yield prediction_service_pb2_grpc.PredictionServiceStub(channel)


def make_request(inputs: dict[str, Any], name: str = "sagan") -> predict_pb2.PredictRequest:
    request = predict_pb2.PredictRequest()
    request.model_spec.name, request.model_spec.signature_name = name, "generate"
    for key, values in inputs.items():
        request.inputs[key].CopyFrom(tf.make_tensor_proto(np.array(values, TYPES.get(key))))
    return request


def test_grpc_predicts(stub: Any) -> None:
    answer = stub.Predict(make_request(GOOD), timeout=20)
    assert [read_color(png) for png in tf.make_ndarray(answer.outputs["png_bytes"])] == [[2, 2, 5], [1, 0, 80]]
    assert answer.model_spec.version.value == 3


@pytest.mark.parametrize(
    ("inputs", "name", "word"),
    [
        (GOOD, "", "ModelSpec"),
        (FEW, "sagan", "truncation"),
        (GOOD | {"more": [1]}, "sagan", "more"),
        (FEW | {"more": [1]}, "sagan", "more"),
    ],
)
def test_grpc_refuses(stub: Any, inputs: dict[str, Any], name: str, word: str) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        stub.Predict(make_request(inputs, name), timeout=20)
    assert caught.value.code().name == "INVALID_ARGUMENT" and word in caught.value.details()


@pytest.mark.parametrize(
    "request_",
    [
        *([1], {}, {"inputs": [1]}, {"inputs": FEW}),
        *({"inputs": GOOD | {"labels": labels}} for labels in ([0, 3], [0, 0.5], [0, 2**31], [[0], 1])),
    ],
    ids=str,
)
@pytest.mark.parametrize("method", ["predict", "classify"])
def test_rest_refuses(server: ModelServer, request_: Any, method: str) -> None:
    content = request_ | {"signature_name": "generate"} if isinstance(request_, dict) else request_
    answer = requests.post(f"http://{server.rest}/v1/models/sagan:{method}", json=content, timeout=20)
    assert answer.status_code == 400 and answer.json()["error"]
