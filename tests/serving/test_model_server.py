"""The tests' server answers as TensorFlow Serving does, for its official client and for plain HTTP."""

from __future__ import annotations

import base64
import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from tests.serving.model_server import ServerAddresses
from tests.serving.small_model import read_color

GOOD = {"seeds": [258, 1], "labels": [2, 0], "truncation": [0.5, 8.0]}
TYPES = {"seeds": np.int64, "labels": np.int32, "truncation": np.float32}
PIXELS = [[2, 2, 5], [1, 0, 80]]


@pytest.fixture
def channel(server: ServerAddresses) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(server.grpc) as channel:
        yield channel


def predict(channel: grpc.Channel, inputs: dict[str, Any], **spec: Any) -> predict_pb2.PredictResponse:
    request = predict_pb2.PredictRequest()
    request.model_spec.name = spec.get("name", "sagan")
    request.model_spec.signature_name = spec.get("signature", "generate")
    if "version" in spec:
        request.model_spec.version.value = spec["version"]
    for name, values in inputs.items():
        request.inputs[name].CopyFrom(tf.make_tensor_proto(np.array(values, TYPES.get(name))))
    return prediction_service_pb2_grpc.PredictionServiceStub(channel).Predict(request, timeout=20)


def send(server: ServerAddresses, path: str, request: Any = None) -> tuple[int, Any]:
    """Return the status and the answer of the REST interface."""
    body = None if request is None else json.dumps(request).encode()
    try:
        with urllib.request.urlopen(f"http://{server.rest}/v1/models/{path}", body, timeout=20) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def test_grpc_predicts(channel: grpc.Channel) -> None:
    for spec in ({}, {"version": 3}):
        answer = predict(channel, GOOD, **spec)
        assert [read_color(png) for png in tf.make_ndarray(answer.outputs["png_bytes"])] == PIXELS
        assert answer.model_spec.version.value == 3


@pytest.mark.parametrize(
    ("inputs", "spec", "code", "message"),
    [
        (GOOD, {"name": "other"}, "NOT_FOUND", "Servable not found for request: Latest"),
        (GOOD, {"version": 2}, "NOT_FOUND", "Servable not found for request: Specific"),
        (GOOD, {"name": ""}, "INVALID_ARGUMENT", "Missing ModelSpec"),
        (GOOD, {"signature": "no"}, "FAILED_PRECONDITION", '"no" not found'),
        ({"seeds": [1], "labels": [1]}, {}, "INVALID_ARGUMENT", "Missing but required: {truncation}"),
        (GOOD | {"more": [1]}, {}, "INVALID_ARGUMENT", "Sent extra: {more}"),
        (
            {"seeds": [1], "labels": [1], "more": [1]},
            {},
            "INVALID_ARGUMENT",
            "input tensor alias not found in signature: more",
        ),
        (GOOD | {"labels": [0, 3]}, {}, "INVALID_ARGUMENT", "labels: expected 0 to 2"),
    ],
)
def test_grpc_refuses(
    channel: grpc.Channel, inputs: dict[str, Any], spec: dict[str, Any], code: str, message: str
) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        predict(channel, inputs, **spec)
    assert caught.value.code().name == code
    assert message in caught.value.details()


def test_grpc_refuses_a_wrong_type(channel: grpc.Channel) -> None:
    request = predict_pb2.PredictRequest()
    request.model_spec.name, request.model_spec.signature_name = "sagan", "generate"
    for name, values in GOOD.items():
        request.inputs[name].CopyFrom(tf.make_tensor_proto(np.array(values, np.float32)))
    with pytest.raises(grpc.RpcError) as caught:
        prediction_service_pb2_grpc.PredictionServiceStub(channel).Predict(request, timeout=20)
    assert caught.value.code().name == "INVALID_ARGUMENT"


def test_grpc_metadata_and_status(channel: grpc.Channel) -> None:
    request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
    request.model_spec.name = "sagan"
    answer = prediction_service_pb2_grpc.PredictionServiceStub(channel).GetModelMetadata(request, timeout=20)
    signatures = get_model_metadata_pb2.SignatureDefMap()
    assert answer.metadata["signature_def"].Unpack(signatures)
    assert {"serving_default", "generate", "attention"} <= set(signatures.signature_def)
    status = get_model_status_pb2.GetModelStatusRequest()
    status.model_spec.name = "sagan"
    answer = model_service_pb2_grpc.ModelServiceStub(channel).GetModelStatus(status, timeout=20)
    assert [(version.version, version.state) for version in answer.model_version_status] == [(3, 30)]


@pytest.mark.parametrize("path", ["sagan:predict", "sagan/versions/3:predict"])
def test_rest_predicts_by_columns_and_by_rows(server: ServerAddresses, path: str) -> None:
    status, answer = send(server, path, {"signature_name": "generate", "inputs": GOOD})
    assert status == 200
    assert [read_color(base64.b64decode(file["b64"])) for file in answer["outputs"]] == PIXELS
    rows = [dict(zip(GOOD, row, strict=True)) for row in zip(*GOOD.values(), strict=True)]
    assert send(server, path, {"signature_name": "generate", "instances": rows}) == (
        200,
        {"predictions": answer["outputs"]},
    )


def test_rest_numbers(server: ServerAddresses) -> None:
    request = {"inputs": {"latents": [[1.5, 0, 0, 0]], "labels": [2]}}
    status, answer = send(server, "sagan:predict", request)
    assert status == 200 and np.shape(answer["outputs"]) == (1, 8, 8, 1)
    assert answer["outputs"][0][0][0][0] == 3.5 * 0.125


@pytest.mark.parametrize(
    ("path", "request_", "status"),
    [
        ("other:predict", {"inputs": GOOD}, 404),
        ("sagan/versions/2:predict", {"inputs": GOOD}, 404),
        ("other", None, 404),
        ("other/metadata", None, 404),
        ("sagan:predict", {"signature_name": "no", "inputs": GOOD}, 400),
        ("sagan:predict", {"signature_name": "generate"}, 400),
        ("sagan:predict", {"signature_name": "generate", "inputs": [1]}, 400),
        ("sagan:predict", {"signature_name": "generate", "inputs": {"seeds": [1], "labels": [1]}}, 400),
        ("sagan:predict", {"signature_name": "generate", "inputs": GOOD | {"labels": [0, 3]}}, 400),
        ("sagan:predict", {"signature_name": "generate", "inputs": GOOD | {"labels": [0, 0.5]}}, 400),
        ("sagan:predict", {"signature_name": "generate", "inputs": GOOD | {"labels": [0, 2**31]}}, 400),
        ("sagan:predict", {"signature_name": "generate", "inputs": GOOD | {"labels": [[0], 1]}}, 400),
        ("sagan:predict", {"signature_name": "generate", "instances": [{"seeds": 1}]}, 400),
        ("sagan:predict", {"signature_name": "generate", "instances": []}, 400),
        ("sagan:predict", [1], 400),
        ("sagan:classify", {"inputs": GOOD}, 400),
    ],
)
def test_rest_refuses(server: ServerAddresses, path: str, request_: Any, status: int) -> None:
    received, answer = send(server, path, request_)
    assert received == status and answer["error"]


def test_rest_status_and_metadata(server: ServerAddresses) -> None:
    status, answer = send(server, "sagan")
    assert status == 200
    assert [(version["version"], version["state"]) for version in answer["model_version_status"]] == [
        ("3", "AVAILABLE")
    ]
    status, answer = send(server, "sagan/metadata")
    assert status == 200 and answer["model_spec"]["name"] == "sagan"
    latents = answer["metadata"]["signature_def"]["signature_def"]["serving_default"]["inputs"]["latents"]
    assert latents["dtype"] == "DT_FLOAT"
    assert [dim["size"] for dim in latents["tensor_shape"]["dim"]] == ["-1", "4"]
