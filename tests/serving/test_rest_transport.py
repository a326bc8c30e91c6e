"""The REST connection: requests, answers and the translation of errors."""

from __future__ import annotations

import contextlib
import http.server
import json
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from sagan_tf.errors import UserError
from sagan_tf.serving.rest_transport import RestTransport
from sagan_tf.serving.transports import RequestRefusedError, ServerBusyError
from tests.serving.model_server import ServerAddresses
from tests.serving.small_model import assert_metadata, read_color
from tests.workers import find_free_ports

INPUTS = {
    "seeds": np.array([2**62 - 1, 258], np.int64),
    "labels": np.array([2, 0], np.int32),
    "truncation": np.array([0.5, 8.0], np.float32),
}


class Scripted(http.server.BaseHTTPRequestHandler):
    """A server that answers with given bytes and records its requests."""

    status = 200
    chunks: tuple[bytes, ...] = (b"{}",)
    seconds = 0.0
    requests: list[tuple[str, Any]] = []

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.requests.append((self.path, json.loads(body)))
        self.send_response(self.status)
        self.send_header("Content-Length", str(sum(map(len, self.chunks))))
        self.end_headers()
        with contextlib.suppress(OSError):  # the client may have closed the connection
            for chunk in self.chunks:
                time.sleep(self.seconds)
                self.wfile.write(chunk)
                self.wfile.flush()

    def log_message(self, format: str, *args: Any) -> None:
        """Print nothing."""


@pytest.fixture
def scripted() -> Iterator[tuple[type[Scripted], RestTransport]]:
    class Handler(Scripted):
        requests: list[tuple[str, Any]] = []

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield Handler, RestTransport(f"127.0.0.1:{server.server_address[1]}", "sagan")
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def transport(server: ServerAddresses) -> RestTransport:
    return RestTransport(server.rest, "sagan")


def test_outputs_of_bytes_and_numbers(server: ServerAddresses, transport: RestTransport) -> None:
    for any_transport in (transport, RestTransport(f"http://{server.rest}/", "sagan", 3)):
        files = any_transport.predict("generate", INPUTS, "png_bytes", 20.0)
        assert [read_color(png) for png in files] == [[255, 2, 5], [2, 0, 80]]
    latents = {"latents": np.array([[0.1, 0, 0, 0]], np.float32), "labels": np.array([2], np.int32)}
    images = transport.predict("serving_default", latents, "images", 20.0)
    assert images.dtype == np.float32 and images.shape == (1, 8, 8, 1)
    np.testing.assert_allclose(images, (np.float32(0.1) + 2) * 0.125, rtol=1e-6)


def test_numbers_are_sent_exactly(scripted: tuple[type[Scripted], RestTransport]) -> None:
    handler, transport = scripted
    handler.chunks = (b'{"outputs": [{"b64": "AA=="}]}',)
    assert transport.predict("generate", INPUTS, "png_bytes", 20.0).tolist() == [b"\0"]
    ((path, request),) = handler.requests
    assert path == "/v1/models/sagan:predict"
    assert request == {
        "signature_name": "generate",
        "inputs": {"seeds": [2**62 - 1, 258], "labels": [2, 0], "truncation": [0.5, 8.0]},
    }
    latents = np.random.default_rng(0).normal(size=(2, 4)).astype(np.float32)
    transport.predict("generate", {"latents": latents}, "png_bytes", 20.0)
    received = np.array(handler.requests[1][1]["inputs"]["latents"])
    np.testing.assert_array_equal(received.astype(np.float32), latents)


def test_metadata(transport: RestTransport) -> None:
    assert_metadata(transport.metadata(20.0))


def test_is_ready(server: ServerAddresses, transport: RestTransport) -> None:
    assert transport.is_ready(20.0)
    (unused_port,) = find_free_ports(1)
    assert not RestTransport(server.rest, "other").is_ready(20.0)
    assert not RestTransport(server.rest, "sagan", 2).is_ready(20.0)
    assert not RestTransport(f"127.0.0.1:{unused_port}", "sagan").is_ready(20.0)


@pytest.mark.parametrize(
    ("status", "kind", "start"),
    [
        (429, ServerBusyError, "server: .*HTTP status 429: its reason"),
        (502, ServerBusyError, "server: .*HTTP status 502: its reason"),
        (503, ServerBusyError, "server: .*HTTP status 503: its reason"),
        (400, RequestRefusedError, "generate: .*: its reason"),
        (404, RequestRefusedError, "model: .*sagan.*: its reason"),
        (504, UserError, "timeout: .*within 20 s"),
        (500, UserError, "server: .*HTTP status 500: its reason"),
        (401, UserError, "server: .*HTTP status 401: its reason"),
    ],
)
@pytest.mark.parametrize("body", [b'{"error": "its reason"}', b"its\n reason"])
def test_every_status_is_translated(
    scripted: tuple[type[Scripted], RestTransport], status: int, kind: type, start: str, body: bytes
) -> None:
    handler, transport = scripted
    handler.status, handler.chunks = status, (body,)
    with pytest.raises(UserError, match=f"^{start}") as caught:
        transport.predict("generate", INPUTS, "png_bytes", 20.0)
    assert type(caught.value) is kind


@pytest.mark.parametrize("chunks", [(b"{}",), (b" ", b" ", b" ", b" ", b"{}")])
def test_a_late_answer(scripted: tuple[type[Scripted], RestTransport], chunks: tuple[bytes, ...]) -> None:
    handler, transport = scripted
    handler.chunks, handler.seconds = chunks, 0.8 / len(chunks)
    begin = time.monotonic()
    with pytest.raises(UserError, match="timeout: .*within 0.25 s"):
        transport.predict("generate", INPUTS, "png_bytes", 0.25)
    assert time.monotonic() - begin < 0.6


@pytest.mark.parametrize(
    "body",
    [b"no JSON", b"\xff", b"[]", b"{}", b'{"outputs": ["text"]}', b'{"outputs": [{"b64": "?"}]}', b'{"outputs": [{}]}'],
)
def test_answers_that_are_not_from_tensorflow_serving(
    scripted: tuple[type[Scripted], RestTransport], body: bytes
) -> None:
    scripted[0].chunks = (body,)
    with pytest.raises(UserError, match="generate: .*png_bytes|not JSON"):
        scripted[1].predict("generate", INPUTS, "png_bytes", 20.0)


def test_a_named_output_among_several(scripted: tuple[type[Scripted], RestTransport]) -> None:
    scripted[0].chunks = (b'{"outputs": {"other": [1], "images": [[0.5]]}}',)
    assert scripted[1].predict("serving_default", {}, "images", 20.0).tolist() == [[0.5]]


def test_an_unknown_model_and_signature(server: ServerAddresses, transport: RestTransport) -> None:
    with pytest.raises(RequestRefusedError, match="signature: .*no_such"):
        transport.predict("no_such", INPUTS, "png_bytes", 20.0)
    missing = RestTransport(server.rest, "sagan", 2)
    for call in (lambda: missing.predict("generate", INPUTS, "png_bytes", 20.0), lambda: missing.metadata(20.0)):
        with pytest.raises(RequestRefusedError, match="model: .*sagan version 2"):
            call()


def test_no_server_and_the_wrong_interface(server: ServerAddresses) -> None:
    (unused_port,) = find_free_ports(1)
    with pytest.raises(ServerBusyError, match="server: .*Connection refused"):
        RestTransport(f"127.0.0.1:{unused_port}", "sagan").predict("generate", INPUTS, "png_bytes", 20.0)
    with pytest.raises(UserError, match="server: "):
        RestTransport(server.grpc, "sagan").predict("generate", INPUTS, "png_bytes", 20.0)
    with pytest.raises(UserError, match="server: .*ftp://localhost"):
        RestTransport("ftp://localhost", "sagan")


def test_a_refusal_that_arrives_slowly(scripted: tuple[type[Scripted], RestTransport]) -> None:
    handler, transport = scripted
    handler.status, handler.chunks, handler.seconds = 400, (b" ",) * 20, 0.1
    begin = time.monotonic()
    with pytest.raises(RequestRefusedError):
        transport.predict("generate", INPUTS, "png_bytes", 0.25)
    assert time.monotonic() - begin < 1.0


def test_a_closed_connection_may_be_retried() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=lambda: listening.accept()[0].close())
        thread.start()
        with pytest.raises(ServerBusyError):
            RestTransport(f"127.0.0.1:{listening.getsockname()[1]}", "sagan").metadata(20.0)
        thread.join()
