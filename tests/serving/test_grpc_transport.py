"""The gRPC connection: requests, answers and the translation of errors."""

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
from sagan_tf.serving.transports import RequestRefusedError, ServerBusyError
from tests.serving.model_server import ServerAddresses
from tests.serving.small_model import assert_metadata, read_color
from tests.workers import find_free_ports

INPUTS = {
    "seeds": np.array([258, 1], np.int64),
    "labels": np.array([2, 0], np.int32),
    "truncation": np.array([0.5, 8.0], np.float32),
}


class Scripted(prediction_service_pb2_grpc.PredictionServiceServicer):
    """A server that answers with a given status after a given time."""

    code: grpc.StatusCode | None = None
    seconds = 0.0
    answer = predict_pb2.PredictResponse()

    def Predict(self, request: predict_pb2.PredictRequest, context: Any) -> predict_pb2.PredictResponse:  # noqa: N802 (name of the gRPC method)
        time.sleep(self.seconds)
        if self.code is not None:
            context.abort(self.code, "reason")
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


def test_outputs_of_bytes_and_numbers(transport: GrpcTransport) -> None:
    files = transport.predict("generate", INPUTS, "png_bytes", 20.0)
    assert [read_color(png) for png in files] == [[2, 2, 5], [1, 0, 80]]
    latents = {"latents": np.array([[0.1, 0, 0, 0]], np.float32), "labels": np.array([2], np.int32)}
    images = transport.predict("serving_default", latents, "images", 20.0)
    assert images.shape == (1, 8, 8, 1) and np.all(images == (np.float32(0.1) + 2) * np.float32(0.125))


def test_metadata(transport: GrpcTransport) -> None:
    assert_metadata(transport.metadata(20.0))


def test_is_ready(server: ServerAddresses, transport: GrpcTransport) -> None:
    assert transport.is_ready(20.0)
    (unused_port,) = find_free_ports(1)
    for address, model, version in (
        (server.grpc, "other", None),
        (server.grpc, "sagan", 2),
        (f"127.0.0.1:{unused_port}", "sagan", None),
    ):
        unready = GrpcTransport(address, model, version)
        assert not unready.is_ready(20.0)
        unready.close()


@pytest.mark.parametrize(
    ("code", "kind", "start"),
    [
        ("UNAVAILABLE", ServerBusyError, "server: .*UNAVAILABLE: reason"),
        ("RESOURCE_EXHAUSTED", ServerBusyError, "server: .*RESOURCE_EXHAUSTED: reason"),
        ("INVALID_ARGUMENT", RequestRefusedError, "generate: .*: reason"),
        ("FAILED_PRECONDITION", RequestRefusedError, "generate: .*: reason"),
        ("OUT_OF_RANGE", RequestRefusedError, "generate: .*: reason"),
        ("NOT_FOUND", RequestRefusedError, "model: .*sagan.*: reason"),
        ("DEADLINE_EXCEEDED", UserError, "timeout: .*within 20 s"),
        ("INTERNAL", UserError, "server: .*INTERNAL: reason"),
        ("UNIMPLEMENTED", UserError, "server: .*UNIMPLEMENTED: reason"),
    ],
)
def test_every_status_is_translated(
    scripted: tuple[Scripted, GrpcTransport], code: str, kind: type, start: str
) -> None:
    servicer, transport = scripted
    servicer.code = grpc.StatusCode[code]
    with pytest.raises(UserError, match=f"^{start}") as caught:
        transport.predict("generate", INPUTS, "png_bytes", 20.0)
    assert type(caught.value) is kind and "\n" not in str(caught.value)


def test_a_late_answer(scripted: tuple[Scripted, GrpcTransport]) -> None:
    servicer, transport = scripted
    servicer.seconds = 0.6
    begin = time.monotonic()
    with pytest.raises(UserError, match="timeout: .*within 0.2 s"):
        transport.predict("generate", INPUTS, "png_bytes", 0.2)
    assert time.monotonic() - begin < 0.5


def test_an_answer_larger_than_the_default_limit_of_grpc(scripted: tuple[Scripted, GrpcTransport]) -> None:
    servicer, transport = scripted
    images = np.arange(2**21, dtype=np.float32)
    servicer.answer = predict_pb2.PredictResponse(outputs={"images": tf.make_tensor_proto(images)})
    np.testing.assert_array_equal(transport.predict("serving_default", INPUTS, "images", 20.0), images)


def test_an_answer_without_the_output(scripted: tuple[Scripted, GrpcTransport]) -> None:
    with pytest.raises(UserError, match="generate: .*png_bytes"):
        scripted[1].predict("generate", INPUTS, "png_bytes", 20.0)


def test_an_unknown_model_and_signature(server: ServerAddresses, transport: GrpcTransport) -> None:
    with pytest.raises(RequestRefusedError, match="signature: .*no_such"):
        transport.predict("no_such", INPUTS, "png_bytes", 20.0)
    missing = GrpcTransport(server.grpc, "sagan", 2)
    with pytest.raises(RequestRefusedError, match="model: .*sagan version 2"):
        missing.predict("generate", INPUTS, "png_bytes", 20.0)
    with pytest.raises(RequestRefusedError, match="model: .*sagan version 2"):
        missing.metadata(20.0)
    missing.close()


def test_no_server_and_the_wrong_interface(server: ServerAddresses) -> None:
    (unused_port,) = find_free_ports(1)
    for address in (f"127.0.0.1:{unused_port}", server.rest):
        transport = GrpcTransport(address, "sagan")
        with pytest.raises(ServerBusyError, match="server: .*UNAVAILABLE"):
            transport.predict("generate", INPUTS, "png_bytes", 20.0)
        transport.close()


def test_a_url_is_not_an_address_for_grpc() -> None:
    with pytest.raises(UserError, match="server: .*http://localhost:8500"):
        GrpcTransport("http://localhost:8500", "sagan")
