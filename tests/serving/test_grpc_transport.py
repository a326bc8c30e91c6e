"""gRPC: what is sent, and what each of a server's errors becomes."""

from __future__ import annotations

import concurrent.futures
import time
from collections.abc import Iterator
from typing import Any

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

from sagan_tf.errors import UserError
from sagan_tf.serving.grpc_transport import GrpcTransport
from sagan_tf.serving.transports import Busy, Refused
from tests.exporting.small_model import assert_metadata, pixels_of
from tests.serving.model_server import ServerAddresses
from tests.workers import free_ports

INPUTS = {
    "seeds": np.array([258, 1], np.int64),
    "labels": np.array([2, 0], np.int32),
    "truncation": np.array([0.5, 8.0], np.float32),
}


class Scripted(prediction_service_pb2_grpc.PredictionServiceServicer):
    """Answers with the status that it is told, after some time."""

    code: grpc.StatusCode | None = None
    seconds = 0.0
    answer = predict_pb2.PredictResponse()

    def Predict(self, request: predict_pb2.PredictRequest, context: Any) -> predict_pb2.PredictResponse:
        time.sleep(self.seconds)
        if self.code is not None:
            context.abort(self.code, "its words")
        return self.answer


@pytest.fixture
def scripted() -> Iterator[tuple[Scripted, GrpcTransport]]:
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(2))
    servicer = Scripted()
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    transport = GrpcTransport(f"127.0.0.1:{port}", "sagan")
    yield servicer, transport
    transport.close()
    server.stop(None).wait()


@pytest.fixture
def transport(server: ServerAddresses) -> Iterator[GrpcTransport]:
    transport = GrpcTransport(server.grpc, "sagan")
    yield transport
    transport.close()


def test_files_and_numbers(transport: GrpcTransport) -> None:
    files = transport.predict("generate", INPUTS, "png_bytes", 20.0)
    assert [pixels_of(png) for png in files] == [[2, 2, 5], [1, 0, 80]]
    latents = {"latents": np.array([[0.1, 0, 0, 0]], np.float32), "labels": np.array([2], np.int32)}
    images = transport.predict("serving_default", latents, "images", 20.0)
    assert images.shape == (1, 8, 8, 1) and np.all(images == (np.float32(0.1) + 2) * np.float32(0.125))


def test_metadata(transport: GrpcTransport) -> None:
    assert_metadata(transport.metadata(20.0))


def test_is_ready(server: ServerAddresses, transport: GrpcTransport) -> None:
    assert transport.is_ready(20.0)
    (nobody,) = free_ports(1)
    for address, model, version in (
        (server.grpc, "other", None),
        (server.grpc, "sagan", 2),
        (f"127.0.0.1:{nobody}", "sagan", None),
    ):
        other = GrpcTransport(address, model, version)
        assert not other.is_ready(20.0)
        other.close()


@pytest.mark.parametrize(
    ("code", "kind", "start"),
    [
        (
            "UNAVAILABLE",
            Busy,
            "server: expected an answer of TensorFlow Serving at .*, received UNAVAILABLE: its words",
        ),
        ("RESOURCE_EXHAUSTED", Busy, "server: .* received RESOURCE_EXHAUSTED: its words"),
        ("INVALID_ARGUMENT", Refused, "generate: expected a request that .* accepts, received its refusal: its words"),
        ("FAILED_PRECONDITION", Refused, "generate: .*: its words"),
        ("OUT_OF_RANGE", Refused, "generate: .*: its words"),
        ("NOT_FOUND", Refused, "model: expected one that .* serves, received sagan; it says: its words"),
        ("DEADLINE_EXCEEDED", UserError, "timeout: expected an answer of .* within 20 s, received none"),
        ("INTERNAL", UserError, "server: .* received INTERNAL: its words"),
        ("UNIMPLEMENTED", UserError, "server: .* received UNIMPLEMENTED: its words"),
    ],
)
def test_every_status(scripted: tuple[Scripted, GrpcTransport], code: str, kind: type, start: str) -> None:
    servicer, transport = scripted
    servicer.code = grpc.StatusCode[code]
    with pytest.raises(UserError, match=f"^{start}") as caught:
        transport.predict("generate", INPUTS, "png_bytes", 20.0)
    assert type(caught.value) is kind and "\n" not in str(caught.value)


def test_a_late_answer(scripted: tuple[Scripted, GrpcTransport]) -> None:
    servicer, transport = scripted
    servicer.seconds = 0.6
    begin = time.monotonic()
    with pytest.raises(UserError, match="timeout: expected an answer of .* within 0.2 s"):
        transport.predict("generate", INPUTS, "png_bytes", 0.2)
    assert time.monotonic() - begin < 0.5


def test_an_answer_larger_than_grpc_takes_by_itself(scripted: tuple[Scripted, GrpcTransport]) -> None:
    servicer, transport = scripted
    images = np.arange(2**21, dtype=np.float32)
    servicer.answer = predict_pb2.PredictResponse(outputs={"images": tf.make_tensor_proto(images)})
    np.testing.assert_array_equal(transport.predict("serving_default", INPUTS, "images", 20.0), images)


def test_an_answer_without_the_output(scripted: tuple[Scripted, GrpcTransport]) -> None:
    with pytest.raises(UserError, match="generate: expected an output png_bytes, received "):
        scripted[1].predict("generate", INPUTS, "png_bytes", 20.0)


def test_an_unknown_model_and_signature(server: ServerAddresses, transport: GrpcTransport) -> None:
    with pytest.raises(Refused, match="signature: expected one that sagan has, received no_such; .* says: "):
        transport.predict("no_such", INPUTS, "png_bytes", 20.0)
    other = GrpcTransport(server.grpc, "sagan", 2)
    with pytest.raises(Refused, match="model: expected one that .* serves, received sagan version 2"):
        other.predict("generate", INPUTS, "png_bytes", 20.0)
    with pytest.raises(Refused, match="model: expected one that .* serves, received sagan version 2"):
        other.metadata(20.0)
    other.close()


def test_nobody_listens_and_the_wrong_interface(server: ServerAddresses) -> None:
    (nobody,) = free_ports(1)
    for address in (f"127.0.0.1:{nobody}", server.rest):
        transport = GrpcTransport(address, "sagan")
        with pytest.raises(Busy, match="server: expected an answer of TensorFlow Serving at .*, received UNAVAILABLE"):
            transport.predict("generate", INPUTS, "png_bytes", 20.0)
        transport.close()


def test_an_address_that_is_none() -> None:
    with pytest.raises(UserError, match="server: expected HOST:PORT for gRPC, received http://localhost:8500"):
        GrpcTransport("http://localhost:8500", "sagan")
