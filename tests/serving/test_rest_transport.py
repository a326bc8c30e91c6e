"""The REST connection: the content of requests, and answers that only REST can have."""

from __future__ import annotations

import json
import time

import numpy as np
import pytest

from sagan_tf.errors import UserError
from sagan_tf.serving.rest_transport import RestTransport
from sagan_tf.serving.transports import RequestRefusedError, ServerBusyError
from tests.serving.model_server import ModelServer
from tests.serving.served_model import Fault, ServedModel

INPUTS = {
    "seeds": np.array([2**62 - 1, 258], np.int64),
    "labels": np.array([2, 0], np.int32),
    "truncation": np.array([0.5, 8.0], np.float32),
}


@pytest.fixture
def transport(double: ModelServer) -> RestTransport:
    return RestTransport(f"http://{double.rest}/", "sagan", 3)


def test_numbers_are_sent_exactly(model: ServedModel, transport: RestTransport) -> None:
    transport.predict("generate", INPUTS, "png_bytes", 20.0)
    latents = np.random.default_rng(0).normal(size=(2, 4)).astype(np.float32)
    transport.predict("serving_default", {"latents": latents, "labels": INPUTS["labels"]}, "images", 20.0)
    (path, _, first), (_, _, second) = model.requests
    assert path == "/v1/models/sagan/versions/3:predict"
    assert json.loads(first) == {
        "signature_name": "generate",
        "inputs": {"seeds": [2**62 - 1, 258], "labels": [2, 0], "truncation": [0.5, 8.0]},
    }
    np.testing.assert_array_equal(np.array(json.loads(second)["inputs"]["latents"]).astype(np.float32), latents)


@pytest.mark.usefixtures("short_waits")
@pytest.mark.parametrize("fault", [Fault(is_lost=True), Fault(status=502), Fault(14, headers={"Retry-After": "9"})])
def test_a_request_is_sent_again_after_a_short_wait(model: ServedModel, transport: RestTransport, fault: Fault) -> None:
    model.faults += [fault] * 2
    begin = time.monotonic()
    assert transport.metadata(20.0).version == 3
    assert time.monotonic() - begin < 3.0 and len(model.requests) == 3


def test_the_timeout_holds_for_a_busy_server_that_answers_slowly(model: ServedModel, transport: RestTransport) -> None:
    model.faults += [Fault(status=503, chunks=(b" ",) * 40, seconds=0.1)] * 5
    begin = time.monotonic()
    with pytest.raises(ServerBusyError, match="503"):
        transport.metadata(0.5)
    assert time.monotonic() - begin < 3.0


def test_a_named_output_among_several(model: ServedModel, transport: RestTransport) -> None:
    model.faults.append(Fault(outputs={"other": np.ones(1), "images": np.array([[0.5]])}))
    assert transport.predict("serving_default", {}, "images", 20.0).tolist() == [[0.5]]


@pytest.mark.parametrize("body", [b'{"error": "its reason"}', b"its\n reason"])
@pytest.mark.parametrize(("status", "kind"), [(400, RequestRefusedError), (401, UserError), (302, UserError)])
def test_the_reason_of_a_refusal(
    model: ServedModel, transport: RestTransport, body: bytes, status: int, kind: type
) -> None:
    model.faults.append(Fault(status=status, chunks=(body,)))
    with pytest.raises(kind, match="its reason"):
        transport.predict("generate", INPUTS, "png_bytes", 20.0)


@pytest.mark.parametrize(
    "body",
    [
        *(b"no JSON", b"\xff", b"[]", b"{}", b"[" * 100_000),
        *(b'{"outputs": ["text"]}', b'{"outputs": [{"b64": "?"}]}', b'{"outputs": [{}]}'),
    ],
    ids=lambda body: body[:30].decode("latin-1"),
)
def test_answers_that_are_not_from_tensorflow_serving(
    model: ServedModel, transport: RestTransport, body: bytes
) -> None:
    model.faults += [Fault(chunks=(body,))] * 3
    with pytest.raises(UserError, match="^generate: .*png_bytes|^server: .*JSON"):
        transport.predict("generate", INPUTS, "png_bytes", 20.0)
    with pytest.raises(UserError, match="^server: "):
        transport.metadata(20.0)


def test_only_addresses_of_http_are_valid() -> None:
    with pytest.raises(UserError, match="^server: .*ftp://localhost"):
        RestTransport("ftp://localhost", "sagan")
