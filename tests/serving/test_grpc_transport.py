"""The gRPC connection: what differs from REST."""

from __future__ import annotations

import pathlib

import numpy as np
import pytest
import tensorflow as tf

from sagan_tf.errors import UserError
from sagan_tf.serving.grpc_transport import GrpcTransport
from sagan_tf.serving.transports import ServerBusyError
from tests.serving.model_server import ModelServer, start_server
from tests.serving.served_model import Fault, ServedModel

INPUTS = {
    "seeds": np.array([2**62 - 1, 258], np.int64),
    "labels": np.array([2, 0], np.int32),
    "truncation": np.array([0.5, 8.0], np.float32),
}


def test_numbers_are_sent_exactly(double: ModelServer, model: ServedModel) -> None:
    transport = GrpcTransport(double.grpc, "sagan", 3)
    transport.predict("generate", INPUTS, "png_bytes", 20.0)
    transport.close()
    (request,) = model.requests
    assert (request.model_spec.version.value, request.model_spec.signature_name) == (3, "generate")
    for name, array in INPUTS.items():
        received = tf.make_ndarray(request.inputs[name])
        assert received.dtype == array.dtype and received.tolist() == array.tolist()


@pytest.mark.usefixtures("short_waits")
def test_a_server_that_ends_after_an_answer(small_model: pathlib.Path) -> None:
    with start_server(small_model) as server:
        transport = GrpcTransport(server.grpc, "sagan")
        assert transport.is_ready(20.0)
    with pytest.raises(ServerBusyError, match="^server: "):
        transport.predict("generate", INPUTS, "png_bytes", 20.0)
    transport.close()


def test_an_output_of_an_unknown_type(double: ModelServer, model: ServedModel) -> None:
    model.faults.append(Fault(outputs={"png_bytes": np.zeros(2, np.float16)}))
    transport = GrpcTransport(double.grpc, "sagan")
    with pytest.raises(UserError, match="tensor: .*19"):
        transport.predict("generate", INPUTS, "png_bytes", 20.0)
    transport.close()


def test_a_url_is_not_an_address() -> None:
    with pytest.raises(UserError, match="^server: .*http://localhost:8500"):
        GrpcTransport("http://localhost:8500", "sagan")
