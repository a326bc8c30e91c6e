"""The load generator measures a server, and tells a good one from a bad one."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from sagan_tf.serving.client import Client
from sagan_tf.serving.transports import Busy, Refused
from tests.exporting.small_model import save_small_model
from tests.serving.model_server import ServerAddresses, start_server
from tests.workers import free_ports
from tools.serving.load_generator import MALFORMED, Ledger, ask_badly, ask_well, keys_of, main


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerAddresses]:
    base_path = tmp_path_factory.mktemp("models")
    save_small_model(base_path)
    with start_server(base_path) as addresses:
        yield addresses


class FakeClient:
    """A client whose server answers as it is told."""

    def __init__(self, answer: Any) -> None:
        self._answer = answer
        self.transport = self

    def generate(self, seeds: np.ndarray, labels: np.ndarray, truncation: np.ndarray) -> list[bytes]:
        return self.predict() or [b"\x89PNG %d %d %g" % one for one in zip(seeds, labels, truncation, strict=True)]

    def predict(self, *_: Any) -> Any:
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer


@pytest.mark.parametrize("way", ["grpc", "rest"])
def test_a_good_server(
    server: ServerAddresses, way: str, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--rest"] if way == "rest" else []
    arguments += [f"--server={getattr(server, way)}", "--requests=40", "--concurrency=4", "--batch_sizes=1,5"]
    status = main([*arguments, "--num_classes=3", "--malformed=0.4", f"--json={tmp_path / 'result.json'}"])
    printed = capsys.readouterr().out
    assert status == 0, printed
    assert "batch   1:" in printed and "images/s   ms: p50" in printed
    result = json.loads((tmp_path / "result.json").read_text())
    assert [(one["batch_size"], one["requests"]) for one in result["measured"]] == [(1, 24), (5, 24)]
    for one in result["measured"]:
        assert 0 < one["p50_ms"] <= one["p90_ms"] <= one["p99_ms"] <= one["max_ms"]
        assert one["images_per_second"] == pytest.approx(one["requests_per_second"] * one["batch_size"])
    assert result["counts"]["good requests answered"] == 48 and result["counts"]["bad requests refused"] == 32
    assert result["counts"]["pictures compared with an earlier one"] >= 24 + 120 - 64
    assert result["failed"] == 0 and result["options"]["malformed"] == 0.4


def test_every_kind_of_bad_request_is_refused(server: ServerAddresses) -> None:
    for rest in (False, True):
        with Client(server.rest if rest else server.grpc, rest=rest) as client:
            ledger = Ledger()
            for kind, make in MALFORMED.items():
                ask_badly(client, ledger, kind, make(2, 4), 20.0)
            assert ledger.counts == {"bad requests refused": len(MALFORMED)}, ledger.messages


def test_the_same_pictures_are_asked_for_again_in_other_company() -> None:
    keys = [keys_of(index, 16, 3) for index in range(40)]
    assert keys == [keys_of(index, 16, 3) for index in range(40)] and keys[0] != keys[1]
    flat = {key for request in keys for key in request}
    assert len(flat) == 64 and {label for _, label, _ in flat} == {0, 1, 2}
    assert len({truncation for _, _, truncation in flat}) == 3


def test_other_pictures_are_noticed() -> None:
    ledger = Ledger()
    ask_well(FakeClient(None), ledger, [(1, 0, 0.5), (2, 0, 8.0), (1, 0, 0.5)])  # type: ignore[arg-type]
    assert ledger.counts == {"good requests answered": 1, "pictures compared with an earlier one": 1}
    ask_well(FakeClient([b"\x89PNG 1 0 0.6"]), ledger, [(1, 0, 0.5)])  # type: ignore[arg-type]
    ask_well(FakeClient([b"GIF"]), ledger, [(3, 0, 0.5)])  # type: ignore[arg-type]
    assert ledger.counts["wrong pictures"] == 2
    assert "seed, label, truncation (1, 0, 0.5)" in ledger.messages[0]


@pytest.mark.parametrize(
    ("answer", "what"),
    [
        (np.zeros(1), "bad requests answered"),
        (Busy("no time"), "bad requests that failed otherwise"),
        (Refused("wrong"), "bad requests refused"),
    ],
)
def test_bad_requests_must_be_refused(answer: Any, what: str) -> None:
    ledger = Ledger()
    ask_badly(FakeClient(answer), ledger, "kind", MALFORMED["wrong shape"](1, 4), 1.0)  # type: ignore[arg-type]
    assert ledger.counts == {what: 1}


def test_a_server_that_answers_everything_is_a_bad_one(
    server: ServerAddresses, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for kind in MALFORMED:
        monkeypatch.setitem(MALFORMED, kind, lambda rows, _: good_request(rows))
    arguments = [f"--server={server.grpc}", "--requests=4", "--batch_sizes=1", "--malformed=0.5"]
    assert main(arguments) == 1
    assert "bad requests answered: 2" in capsys.readouterr().out
    # Labels that the model does not have: good requests fail.
    assert main([f"--server={server.grpc}", "--requests=64", "--batch_sizes=1", "--num_classes=9"]) == 1
    assert "good requests that failed: " in capsys.readouterr().out


def good_request(rows: int) -> Any:
    inputs = {
        "seeds": np.zeros(rows, np.int64),
        "labels": np.zeros(rows, np.int32),
        "truncation": np.ones(rows, np.float32),
    }
    return "generate", inputs


def test_mistakes_of_the_user(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    (nobody,) = free_ports(1)
    for arguments, message in (
        ([f"--server=127.0.0.1:{nobody}", "--timeout=0.3"], "load_generator: error: server: expected an answer of"),
        (["--server=a:1", f"--json={tmp_path}"], f"load_generator: error: json: cannot write {tmp_path}"),
        (["--server=a:1", "--model_card=none.json"], "load_generator: error: model_card: expected a card"),
    ):
        assert main(arguments) == 2
        assert capsys.readouterr().err.startswith(message)
    for wrong in ("--malformed=2", "--requests=0", "--batch_sizes=257", "--batch_sizes=a"):
        with pytest.raises(SystemExit) as caught:
            main(["--server=a:1", wrong])
        assert caught.value.code == 2
        assert "load_generator: error: argument" in capsys.readouterr().err
