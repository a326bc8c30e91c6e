"""REST: what is sent, and what each of a server's errors becomes."""

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
from sagan_tf.serving.transports import Busy, Refused
from tests.exporting.small_model import assert_metadata, pixels_of
from tests.serving.model_server import ServerAddresses
from tests.workers import free_ports

INPUTS = {
    "seeds": np.array([2**62 - 1, 258], np.int64),
    "labels": np.array([2, 0], np.int32),
    "truncation": np.array([0.5, 8.0], np.float32),
}


class Scripted(http.server.BaseHTTPRequestHandler):
    """Answers as it is told, and keeps what it was asked."""

    status = 200
    pieces: tuple[bytes, ...] = (b"{}",)
    seconds = 0.0
    asked: list[tuple[str, Any]] = []

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.asked.append((self.path, json.loads(body)))
        self.send_response(self.status)
        self.send_header("Content-Length", str(sum(map(len, self.pieces))))
        self.end_headers()
        with contextlib.suppress(OSError):  # nobody may be waiting any more
            for piece in self.pieces:
                time.sleep(self.seconds)
                self.wfile.write(piece)
                self.wfile.flush()

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""


@pytest.fixture
def scripted() -> Iterator[tuple[type[Scripted], RestTransport]]:
    class Handler(Scripted):
        asked: list[tuple[str, Any]] = []

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


def test_files_and_numbers(server: ServerAddresses, transport: RestTransport) -> None:
    for one in (transport, RestTransport(f"http://{server.rest}/", "sagan", 3)):
        files = one.predict("generate", INPUTS, "png_bytes", 20.0)
        assert [pixels_of(png) for png in files] == [[255, 2, 5], [2, 0, 80]]
    latents = {"latents": np.array([[0.1, 0, 0, 0]], np.float32), "labels": np.array([2], np.int32)}
    images = transport.predict("serving_default", latents, "images", 20.0)
    assert images.dtype == np.float32 and images.shape == (1, 8, 8, 1)
    np.testing.assert_allclose(images, (np.float32(0.1) + 2) * 0.125, rtol=1e-6)


def test_numbers_are_sent_exactly(scripted: tuple[type[Scripted], RestTransport]) -> None:
    handler, transport = scripted
    handler.pieces = (b'{"outputs": [{"b64": "AA=="}]}',)
    assert transport.predict("generate", INPUTS, "png_bytes", 20.0).tolist() == [b"\0"]
    ((path, request),) = handler.asked
    assert path == "/v1/models/sagan:predict"
    assert request == {
        "signature_name": "generate",
        "inputs": {"seeds": [2**62 - 1, 258], "labels": [2, 0], "truncation": [0.5, 8.0]},
    }
    latents = np.random.default_rng(0).normal(size=(2, 4)).astype(np.float32)
    transport.predict("generate", {"latents": latents}, "png_bytes", 20.0)
    received = np.array(handler.asked[1][1]["inputs"]["latents"])
    np.testing.assert_array_equal(received.astype(np.float32), latents)


def test_metadata(transport: RestTransport) -> None:
    assert_metadata(transport.metadata(20.0))


def test_is_ready(server: ServerAddresses, transport: RestTransport) -> None:
    assert transport.is_ready(20.0)
    (nobody,) = free_ports(1)
    assert not RestTransport(server.rest, "other").is_ready(20.0)
    assert not RestTransport(server.rest, "sagan", 2).is_ready(20.0)
    assert not RestTransport(f"127.0.0.1:{nobody}", "sagan").is_ready(20.0)


@pytest.mark.parametrize(
    ("status", "kind", "start"),
    [
        (429, Busy, "server: expected an answer of TensorFlow Serving at .*, received HTTP status 429: its words"),
        (502, Busy, "server: .* received HTTP status 502: its words"),
        (503, Busy, "server: .* received HTTP status 503: its words"),
        (400, Refused, "generate: expected a request that .* accepts, received its refusal: its words"),
        (404, Refused, "model: expected one that .* serves, received sagan; it says: its words"),
        (504, UserError, "timeout: expected an answer of .* within 20 s, received none"),
        (500, UserError, "server: .* received HTTP status 500: its words"),
        (401, UserError, "server: .* received HTTP status 401: its words"),
    ],
)
@pytest.mark.parametrize("body", [b'{"error": "its words"}', b"its\n words"])
def test_every_status(
    scripted: tuple[type[Scripted], RestTransport], status: int, kind: type, start: str, body: bytes
) -> None:
    handler, transport = scripted
    handler.status, handler.pieces = status, (body,)
    with pytest.raises(UserError, match=f"^{start}") as caught:
        transport.predict("generate", INPUTS, "png_bytes", 20.0)
    assert type(caught.value) is kind


@pytest.mark.parametrize("pieces", [(b"{}",), (b" ", b" ", b" ", b" ", b"{}")])
def test_a_late_answer(scripted: tuple[type[Scripted], RestTransport], pieces: tuple[bytes, ...]) -> None:
    handler, transport = scripted
    handler.pieces, handler.seconds = pieces, 0.8 / len(pieces)
    begin = time.monotonic()
    with pytest.raises(UserError, match="timeout: expected an answer of .* within 0.25 s"):
        transport.predict("generate", INPUTS, "png_bytes", 0.25)
    assert time.monotonic() - begin < 0.6


@pytest.mark.parametrize(
    "body",
    [b"no JSON", b"\xff", b"[]", b"{}", b'{"outputs": ["text"]}', b'{"outputs": [{"b64": "?"}]}', b'{"outputs": [{}]}'],
)
def test_answers_of_something_else(scripted: tuple[type[Scripted], RestTransport], body: bytes) -> None:
    scripted[0].pieces = (body,)
    with pytest.raises(UserError, match="expected an output png_bytes, received|received what is not JSON"):
        scripted[1].predict("generate", INPUTS, "png_bytes", 20.0)


def test_an_output_among_others(scripted: tuple[type[Scripted], RestTransport]) -> None:
    scripted[0].pieces = (b'{"outputs": {"other": [1], "images": [[0.5]]}}',)
    assert scripted[1].predict("serving_default", {}, "images", 20.0).tolist() == [[0.5]]


def test_an_unknown_model_and_signature(server: ServerAddresses, transport: RestTransport) -> None:
    with pytest.raises(Refused, match="signature: expected one that sagan has, received no_such; .* says: "):
        transport.predict("no_such", INPUTS, "png_bytes", 20.0)
    other = RestTransport(server.rest, "sagan", 2)
    for ask in (lambda: other.predict("generate", INPUTS, "png_bytes", 20.0), lambda: other.metadata(20.0)):
        with pytest.raises(Refused, match="model: expected one that .* serves, received sagan version 2"):
            ask()


def test_nobody_listens_and_the_wrong_interface(server: ServerAddresses) -> None:
    (nobody,) = free_ports(1)
    with pytest.raises(Busy, match="server: expected an answer of .*, received .*Connection refused"):
        RestTransport(f"127.0.0.1:{nobody}", "sagan").predict("generate", INPUTS, "png_bytes", 20.0)
    with pytest.raises(UserError, match="server: expected an answer of .*, received "):
        RestTransport(server.grpc, "sagan").predict("generate", INPUTS, "png_bytes", 20.0)
    with pytest.raises(UserError, match=r"server: expected HOST:PORT or http\(s\)://HOST:PORT for REST"):
        RestTransport("ftp://localhost", "sagan")


def test_a_refusal_that_comes_drop_by_drop(scripted: tuple[type[Scripted], RestTransport]) -> None:
    handler, transport = scripted
    handler.status, handler.pieces, handler.seconds = 400, (b" ",) * 20, 0.1
    begin = time.monotonic()
    with pytest.raises(Refused):
        transport.predict("generate", INPUTS, "png_bytes", 0.25)
    assert time.monotonic() - begin < 1.0


def test_a_server_that_hangs_up_may_answer_later() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=lambda: listening.accept()[0].close())
        thread.start()
        with pytest.raises(Busy):
            RestTransport(f"127.0.0.1:{listening.getsockname()[1]}", "sagan").metadata(20.0)
        thread.join()
