"""HTTP requests: deadlines, lost connections, redirects and credentials."""

from __future__ import annotations

import pathlib
import time

import pytest

from sagan_tf.serving.http_requests import send
from tests.serving.model_server import ModelServer
from tests.serving.served_model import Fault, ServedModel
from tests.workers import find_free_ports


@pytest.fixture
def url(double: ModelServer) -> str:
    return f"http://{double.rest}/v1/models/sagan/metadata"


@pytest.mark.usefixtures("short_waits")
@pytest.mark.parametrize("fault", [Fault(is_lost=True), Fault(status=502), Fault(14, headers={"Retry-After": "9"})])
def test_a_request_is_sent_again_after_a_short_wait(model: ServedModel, url: str, fault: Fault) -> None:
    model.faults += [fault] * 2
    begin = time.monotonic()
    assert send(url, None, 20.0, max_attempts=3)[0] == 200
    assert time.monotonic() - begin < 3.0 and len(model.requests) == 3


@pytest.mark.parametrize("max_attempts", [1, 2])
def test_lost_connections_are_an_error_after_the_last_attempt(model: ServedModel, url: str, max_attempts: int) -> None:
    model.faults += [Fault(is_lost=True)] * 9
    with pytest.raises(ConnectionError, match="closed connection"):
        send(url, b"{}", 20.0, max_attempts)
    assert len(model.requests) == max_attempts


def test_a_connection_that_is_lost_inside_the_answer(model: ServedModel, url: str) -> None:
    model.faults.append(Fault(headers={"Content-Length": "999"}, chunks=(b"{}",)))
    with pytest.raises(ConnectionError):
        send(url, None, 20.0, 1)


@pytest.mark.parametrize("chunks", [(b"{}",), (b" ",) * 8], ids=["late", "slow"])
def test_an_answer_after_the_deadline(model: ServedModel, url: str, chunks: tuple[bytes, ...]) -> None:
    model.faults.append(Fault(chunks=chunks, seconds=0.8 / len(chunks)))
    begin = time.monotonic()
    with pytest.raises(TimeoutError):
        send(url, None, 0.25, 1)
    assert time.monotonic() - begin < 0.6


def test_a_refusal_that_arrives_slowly(model: ServedModel, url: str) -> None:
    model.faults.append(Fault(status=400, chunks=(b" ",) * 20, seconds=0.1))
    begin = time.monotonic()
    assert send(url, None, 0.25, 1) == (400, b"Bad Request")
    assert time.monotonic() - begin < 1.0


def test_of_a_long_refusal_only_the_beginning_is_read(model: ServedModel, url: str) -> None:
    model.faults.append(Fault(status=400, chunks=(b"x" * 2**25,)))
    status, content = send(url, None, 20.0, 1)
    assert status == 400 and 2**16 <= len(content) < 2**22


def test_redirects_are_not_followed(model: ServedModel, url: str) -> None:
    model.faults.append(Fault(status=307, headers={"Location": url}))
    assert send(url, b"{}", 20.0, 5)[0] == 307 and len(model.requests) == 1


def test_requests_carry_no_credentials(
    model: ServedModel, url: str, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "netrc").write_text("default login user password secret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    send(url, None, 20.0, 1)
    ((_, headers, _),) = model.requests
    assert "Authorization" not in headers


def test_the_proxy_of_the_environment_is_used(
    double: ModelServer, model: ServedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", f"http://{double.rest}")
    monkeypatch.setenv("no_proxy", "nowhere.invalid")
    with pytest.raises(ConnectionError):
        send("http://nowhere.invalid/a", None, 5.0, 1)
    assert send("http://elsewhere.invalid/a", None, 5.0, 1)[0] == 400
    assert [path for path, _, _ in model.requests] == ["http://elsewhere.invalid/a"]


@pytest.mark.parametrize("address", ["a..b:1", "127.0.0.1:port", "[::1", "127.0.0.1:99999"])
def test_an_address_that_is_not_valid(address: str) -> None:
    with pytest.raises(OSError, match=r".+"):
        send(f"http://{address}/", None, 0.5, 1)


def test_a_server_that_does_not_speak_http(double: ModelServer) -> None:
    with pytest.raises(ConnectionError):
        send(f"http://{double.grpc}/", None, 20.0, 1)
    (unused_port,) = find_free_ports(1)
    with pytest.raises(OSError, match=r".+"):
        send(f"https://127.0.0.1:{unused_port}/", None, 20.0, 1)
