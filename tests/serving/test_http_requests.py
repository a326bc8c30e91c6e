"""HTTP requests: deadlines, lost connections, redirects and credentials."""

from __future__ import annotations

import pathlib
import subprocess
import sys
import time
from typing import Any

import pytest
import requests

from sagan_tf.serving.http_requests import send
from tests.serving.model_server import ModelServer
from tests.serving.served_model import Fault, ServedModel
from tests.workers import find_free_ports


@pytest.fixture
def url(double: ModelServer) -> str:
    return f"http://{double.rest}/v1/models/sagan/metadata"


def test_a_lost_connection_is_an_error(model: ServedModel, url: str) -> None:
    model.faults.append(Fault(is_lost=True))
    with pytest.raises(ConnectionError, match="closed connection"):
        send(url, b"{}", 20.0)
    assert len(model.requests) == 1


def test_a_connection_that_is_lost_inside_the_answer(model: ServedModel, url: str) -> None:
    model.faults.append(Fault(headers={"Content-Length": "999"}, chunks=(b"{}",)))
    with pytest.raises(ConnectionError):
        send(url, None, 20.0)


@pytest.mark.parametrize("chunks", [(b"{}",), (b" ",) * 8], ids=["late", "slow"])
def test_an_answer_after_the_deadline(model: ServedModel, url: str, chunks: tuple[bytes, ...]) -> None:
    model.faults.append(Fault(chunks=chunks, seconds=4.0 / len(chunks)))
    begin = time.monotonic()
    with pytest.raises(TimeoutError):
        send(url, None, 0.25)
    assert time.monotonic() - begin < 2.0


@pytest.mark.parametrize(("status", "reason"), [(400, b"Bad Request"), (503, b"Service Unavailable")])
def test_a_refusal_that_arrives_slowly(model: ServedModel, url: str, status: int, reason: bytes) -> None:
    model.faults.append(Fault(status=status, chunks=(b" ",) * 20, seconds=0.1))
    begin = time.monotonic()
    assert send(url, None, 0.25) == (status, reason)
    assert time.monotonic() - begin < 1.8


def test_of_a_long_refusal_only_the_beginning_is_read(model: ServedModel, url: str) -> None:
    model.faults.append(Fault(status=400, chunks=(b"x" * 2**25,)))
    status, content = send(url, None, 20.0)
    assert status == 400 and 2**16 <= len(content) < 2**22


def test_redirects_are_not_followed(model: ServedModel, url: str) -> None:
    model.faults.append(Fault(status=307, headers={"Location": url}))
    assert send(url, b"{}", 20.0)[0] == 307 and len(model.requests) == 1


def test_requests_carry_no_credentials(
    model: ServedModel, url: str, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "netrc").write_text("default login user password secret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    send(url, None, 20.0)
    ((_, headers, _),) = model.requests
    assert "Authorization" not in headers


def test_the_proxy_of_the_environment_is_used(
    double: ModelServer, model: ServedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", f"http://{double.rest}")
    monkeypatch.setenv("no_proxy", "nowhere.invalid")
    with pytest.raises(ConnectionError):
        send("http://nowhere.invalid/a", None, 5.0)
    assert send("http://elsewhere.invalid/a", None, 5.0)[0] == 400
    assert [path for path, _, _ in model.requests] == ["http://elsewhere.invalid/a"]


@pytest.mark.parametrize("address", ["a..b:1", "127.0.0.1:port", "[::1", "127.0.0.1:99999"])
def test_an_address_that_is_not_valid(address: str) -> None:
    with pytest.raises(OSError, match=r".+"):
        send(f"http://{address}/", None, 0.5)


def test_a_server_that_does_not_speak_http(double: ModelServer) -> None:
    with pytest.raises(ConnectionError):
        send(f"http://{double.grpc}/", None, 20.0)
    (unused_port,) = find_free_ports(1)
    with pytest.raises(OSError, match=r".+"):
        send(f"https://127.0.0.1:{unused_port}/", None, 20.0)


def test_an_import_does_not_change_the_log_of_urllib3() -> None:
    program = "import logging, sagan_tf.serving.http_requests; assert logging.getLogger('urllib3').level == 0"
    subprocess.run([sys.executable, "-c", program], check=True, cwd=pathlib.Path(__file__).parents[2])


@pytest.mark.parametrize(("scheme", "expected"), [("http", 0), ("https", 1)])
def test_the_directory_of_certificates_is_read_once_and_only_for_https(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, scheme: str, expected: int
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "absent"))
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
    read: list[pathlib.Path] = []

    def glob(path: pathlib.Path, pattern: str) -> list[pathlib.Path]:
        read.append(path)
        return []

    monkeypatch.setattr(pathlib.Path, "glob", glob)
    (unused_port,) = find_free_ports(1)
    for _ in range(3):
        with pytest.raises(OSError, match=r".+"):
            send(f"{scheme}://127.0.0.1:{unused_port}/", None, 20.0)
    assert read == [tmp_path] * expected


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("directory/12ab34cd.0", "file"), "file"),
        (("directory/12ab34cd.0",), "directory"),
        (("directory/README",), True),
        ((), True),
    ],
    ids=["file", "directory", "directory without certificates", "nothing"],
)
def test_the_certificates_of_the_system_are_used_if_there_are_any(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, names: tuple[str, ...], expected: str | bool
) -> None:
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "file"))
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path / "directory"))
    used: list[str | bool] = []

    def refuse(*args: Any, verify: str | bool, **options: Any) -> None:
        used.append(verify)
        raise requests.ConnectionError

    monkeypatch.setattr(requests.adapters.HTTPAdapter, "send", refuse)
    with pytest.raises(OSError, match=r".+"):
        send("https://localhost:1/", None, 20.0)
    assert used == [expected if isinstance(expected, bool) else str(tmp_path / expected)]
