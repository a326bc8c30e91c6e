"""The load generator measures a server, and detects wrong answers."""

from __future__ import annotations

import json
import pathlib
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from sagan_tf.serving.transports import RequestRefusedError, ServerBusyError
from tests.serving.model_server import ServerAddresses, start_server
from tests.serving.small_model import save_small_model
from tests.workers import find_free_ports
from tools.serving.load_generator import choose_keys, main, send_malformed_request
from tools.serving.malformed_requests import MALFORMED_REQUESTS
from tools.serving.request_log import RequestLog


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerAddresses]:
    base_path = tmp_path_factory.mktemp("models")
    save_small_model(base_path)
    with start_server(base_path) as addresses:
        yield addresses


class FakeClient:
    """A client whose server gives a fixed answer."""

    def __init__(self, answer: Any) -> None:
        self._answer = answer
        self.transport = self

    def predict(self, *_: Any) -> Any:
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer


@pytest.mark.parametrize("transport", ["grpc", "rest"])
def test_throughput_and_latency_of_a_correct_server(
    server: ServerAddresses, transport: str, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--rest"] if transport == "rest" else []
    arguments += [f"--server={getattr(server, transport)}", "--requests=40", "--concurrency=4", "--batch_sizes=1,5"]
    status = main([*arguments, "--num_classes=3", "--malformed=0.4", f"--json={tmp_path / 'result.json'}"])
    printed = capsys.readouterr().out
    assert status == 0, printed
    assert "batch   1:" in printed and "images/s   ms: p50" in printed
    result = json.loads((tmp_path / "result.json").read_text())
    assert [(row["batch_size"], row["requests"]) for row in result["measured"]] == [(1, 24), (5, 24)]
    for row in result["measured"]:
        assert 0 < row["p50_ms"] <= row["p90_ms"] <= row["p99_ms"] <= row["max_ms"]
        assert row["images_per_second"] == pytest.approx(row["requests_per_second"] * row["batch_size"])
    assert result["counts"]["good requests answered"] == 48 and result["counts"]["bad requests refused"] == 32
    assert result["counts"]["pictures compared with an earlier one"] >= 24 + 120 - 64
    assert result["failed"] == 0 and result["options"]["malformed"] == 0.4


def test_the_same_images_are_requested_in_different_batches() -> None:
    keys = [choose_keys(index, 16, 3) for index in range(40)]
    assert keys == [choose_keys(index, 16, 3) for index in range(40)] and keys[0] != keys[1]
    flat = {key for request in keys for key in request}
    assert len(flat) == 64 and {label for _, label, _ in flat} == {0, 1, 2}
    assert len({truncation for _, _, truncation in flat}) == 3


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (np.zeros(1), "bad requests answered"),
        (ServerBusyError("no time"), "bad requests that failed otherwise"),
        (RequestRefusedError("wrong"), "bad requests refused"),
    ],
)
def test_outcomes_of_malformed_requests(answer: Any, outcome: str) -> None:
    log, request = RequestLog(), MALFORMED_REQUESTS["wrong shape"](1, 4)
    send_malformed_request(FakeClient(answer), log, "kind", request, 1.0)  # type: ignore[arg-type]
    assert log.counts == {outcome: 1}


def test_a_server_that_answers_malformed_requests_fails(
    server: ServerAddresses, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for kind in MALFORMED_REQUESTS:
        monkeypatch.setitem(MALFORMED_REQUESTS, kind, lambda rows, _: make_good_request(rows))
    arguments = [f"--server={server.grpc}", "--requests=4", "--batch_sizes=1", "--malformed=0.5"]
    assert main(arguments) == 1
    assert "bad requests answered: 2" in capsys.readouterr().out
    # Good requests fail if the model has fewer classes.
    assert main([f"--server={server.grpc}", "--requests=64", "--batch_sizes=1", "--num_classes=9"]) == 1
    assert "good requests that failed: " in capsys.readouterr().out


def make_good_request(rows: int) -> Any:
    inputs = {
        "seeds": np.zeros(rows, np.int64),
        "labels": np.zeros(rows, np.int32),
        "truncation": np.ones(rows, np.float32),
    }
    return "generate", inputs


def test_user_errors(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    (unused_port,) = find_free_ports(1)
    for arguments, message in (
        ([f"--server=127.0.0.1:{unused_port}", "--timeout=0.3"], f"load_generator: error: server: .*{unused_port}"),
        (["--server=a:1", f"--json={tmp_path}"], f"load_generator: error: json: .*{tmp_path}"),
        (["--server=a:1", "--model_card=none.json"], "load_generator: error: model_card: .*none.json"),
    ):
        assert main(arguments) == 2
        assert re.match(message, capsys.readouterr().err)
    for wrong in ("--malformed=2", "--requests=0", "--batch_sizes=257", "--batch_sizes=a"):
        with pytest.raises(SystemExit) as caught:
            main(["--server=a:1", wrong])
        assert caught.value.code == 2
        assert "load_generator: error: argument" in capsys.readouterr().err
