"""Both interfaces: answers, retries, and the same errors for the same faults of a server."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from sagan_tf.errors import UserError
from sagan_tf.serving.connection import Client
from sagan_tf.serving.retries import MAX_ATTEMPTS
from sagan_tf.serving.transports import RequestRefusedError, ServerBusyError, shorten_reason
from tests.serving.model_server import ModelServer
from tests.serving.served_model import Fault, ServedModel
from tests.serving.small_model import LATENT_DIM, read_color
from tests.workers import find_free_ports

UNAVAILABLE, RESOURCE_EXHAUSTED = 14, 8
LATENTS = np.array([[0.1, 0.2, 0.3, 0.4]], np.float32)

Connect = Callable[..., Client]


@pytest.fixture
def connect(double: ModelServer, interface: str) -> Iterator[Connect]:
    """Return a function that connects a client to the tests' own server."""
    clients: list[Client] = []

    def connect(server: str = double.get_address(interface), **options: Any) -> Client:
        clients.append(Client(server, rest=interface == "rest", **{"timeout_s": 20.0, **options}))
        return clients[-1]

    yield connect
    for client in clients:
        client.close()


@pytest.mark.parametrize(
    ("code", "kind", "message"),
    [
        (UNAVAILABLE, ServerBusyError, "server: .*(UNAVAILABLE|503): its reason"),
        (RESOURCE_EXHAUSTED, ServerBusyError, "server: .*(RESOURCE_EXHAUSTED|429): its reason"),
        (3, RequestRefusedError, "generate: .*its reason"),
        (9, RequestRefusedError, "generate: .*its reason"),
        (11, RequestRefusedError, "generate: .*its reason"),
        (5, RequestRefusedError, "model: .*sagan.*its reason"),
        (4, UserError, "timeout: .* 20 s"),
        (13, UserError, "server: .*(INTERNAL|500): its reason"),
        (12, UserError, "server: .*(UNIMPLEMENTED|501): its reason"),
    ],
)
@pytest.mark.usefixtures("short_waits")
def test_every_status_is_an_error_and_only_busy_servers_are_asked_again(
    model: ServedModel, connect: Connect, code: int, kind: type, message: str
) -> None:
    model.faults += [Fault(code)] * 9
    with pytest.raises(UserError, match=f"^{message}") as caught:
        connect().generate([1], [0])
    assert type(caught.value) is kind and "\n" not in str(caught.value)
    assert len(model.requests) == (MAX_ATTEMPTS if kind is ServerBusyError else 1)


@pytest.mark.usefixtures("short_waits")
def test_a_busy_server_is_asked_until_it_answers(model: ServedModel, connect: Connect) -> None:
    model.faults += [Fault(UNAVAILABLE), Fault(RESOURCE_EXHAUSTED), Fault(UNAVAILABLE)]
    (png,) = connect().generate([7], [2])
    assert read_color(png) == [7, 2, 80] and len(model.requests) == 4
    model.faults.append(Fault(UNAVAILABLE))
    assert connect().metadata().version == 3


@pytest.mark.usefixtures("short_waits")
def test_large_requests_are_sent_again_and_large_answers_are_read(model: ServedModel, connect: Connect) -> None:
    """By default, gRPC's limit is 4 MB for an answer."""
    images: np.ndarray = np.arange(1_200_000, dtype=np.float32)[None]
    model.faults += [Fault(UNAVAILABLE), Fault(outputs={"images": images})]
    np.testing.assert_array_equal(connect().images(np.full((1, 100_000), 0.5), [0]), images)


def test_retries_end_at_the_timeout(model: ServedModel, connect: Connect) -> None:
    model.faults += [Fault(UNAVAILABLE, seconds=0.15)] * 9
    begin = time.monotonic()
    with pytest.raises(ServerBusyError, match="^server: .*its reason"):
        connect(timeout_s=0.8).generate([1], [0])
    assert time.monotonic() - begin < 1.3 and 1 < len(model.requests) < MAX_ATTEMPTS


def test_a_late_answer(model: ServedModel, connect: Connect) -> None:
    model.faults.append(Fault(seconds=3.0))
    begin = time.monotonic()
    with pytest.raises(UserError, match=r"^timeout: .* 0\.2 s"):
        connect(timeout_s=0.2).generate([1], [0])
    assert time.monotonic() - begin < 2.0


@pytest.mark.parametrize(
    "outputs",
    [
        {"other": np.zeros(1, np.float32), "more": np.zeros(1, np.float32)},
        {"png_bytes": np.array([b"a", b"b", b"c"], object)},
        {"png_bytes": np.float32(1)},
    ],
    ids=["no output of this name", "wrong number of rows", "no rows"],
)
def test_answers_that_do_not_fit_the_request(
    model: ServedModel, connect: Connect, outputs: dict[str, np.ndarray]
) -> None:
    model.faults.append(Fault(outputs=outputs))
    with pytest.raises(UserError, match="^generate: .*png_bytes"):
        connect().generate([1], [0])


def test_unknown_models_versions_and_signatures(server: ModelServer, interface: str, connect: Connect) -> None:
    address = server.get_address(interface)
    for options, name in (({"model": "other"}, "other"), ({"version": 2}, "sagan version 2")):
        client = connect(address, **options)
        assert not client.is_ready()
        for call in (lambda client=client: client.generate([1], [0]), client.metadata):
            with pytest.raises(RequestRefusedError, match=f"^model: .*{name}"):
                call()
    inputs = {"latents": LATENTS, "labels": np.array([0], np.int32)}
    with pytest.raises(RequestRefusedError, match="^signature: .*no_such"):
        connect(address).transport.predict("no_such", inputs, "images", 20.0)


def test_readiness_and_metadata(server: ModelServer, interface: str, connect: Connect) -> None:
    client = connect(server.get_address(interface), version=3)
    assert client.is_ready()
    metadata = client.metadata()
    assert (metadata.name, metadata.version) == ("sagan", 3)
    assert set(metadata.signatures) == {"serving_default", "generate", "attention"}
    latents = metadata.signatures["serving_default"].inputs["latents"]
    assert (latents.dtype, latents.shape) == ("float32", (-1, LATENT_DIM))
    assert metadata.signatures["generate"].outputs["png_bytes"].dtype == "string"


def test_readiness_is_asked_once(connect: Connect) -> None:
    client = connect(f"127.0.0.1:{find_free_ports(1)[0]}")
    begin = time.monotonic()
    assert not client.is_ready()
    assert time.monotonic() - begin < 1.0


@pytest.mark.usefixtures("short_waits")
def test_no_server_and_the_wrong_interface(double: ModelServer, interface: str, connect: Connect) -> None:
    unused = f"127.0.0.1:{find_free_ports(1)[0]}"
    wrong = double.grpc if interface == "rest" else double.rest
    for address in (unused, wrong):
        with pytest.raises(ServerBusyError, match=f"^server: .*{address}"):
            connect(address).generate([1], [0])
    for timeout_s in (0.15, 20.0):  # The first is shorter than the first wait.
        with pytest.raises(ServerBusyError, match="Connection refused"):
            connect(unused, timeout_s=timeout_s).metadata()


def test_reasons_are_shortened() -> None:
    assert len(shorten_reason("long " * 1000)) == 300
    assert shorten_reason("wrong [1 3]\n\t [[{{node Assert_5/Assert}}]]") == "wrong [1 3]"
