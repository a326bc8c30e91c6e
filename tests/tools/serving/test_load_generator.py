"""The load generator measures a server, and detects wrong answers."""

from __future__ import annotations

import json
import pathlib

import numpy as np
import pytest

from tests.serving.model_server import ModelServer
from tests.serving.served_model import Fault, ServedModel
from tools.serving.load_generator import choose_keys, run


def test_throughput_and_latency_of_a_correct_server(
    server: ModelServer, interface: str, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--rest"] if interface == "rest" else []
    arguments += [f"--server={server.get_address(interface)}", "--requests=40", "--concurrency=4", "--batch_sizes=1,5"]
    status = run([*arguments, "--num_classes=3", "--malformed=0.4", f"--json={tmp_path / 'result.json'}"])
    printed = capsys.readouterr().out
    assert status == 0, printed
    assert "batch   1:" in printed and "images/s   ms: p50" in printed
    result = json.loads((tmp_path / "result.json").read_text())
    assert [(row["batch_size"], row["requests"]) for row in result["measured"]] == [(1, 24), (5, 24)]
    for row in result["measured"]:
        assert 0 < row["p50_ms"] <= row["p90_ms"] <= row["p99_ms"] <= row["max_ms"]
        assert row["images_per_second"] == pytest.approx(row["requests_per_second"] * row["batch_size"])
    assert result["counts"]["good requests answered"] == 48 and result["counts"]["bad requests refused"] == 32
    assert result["counts"]["images compared with an earlier one"] >= 24 + 120 - 64
    assert result["failed"] == 0 and result["options"]["malformed"] == 0.4


def test_the_same_images_are_requested_in_different_batches() -> None:
    keys = [choose_keys(index, 16, 3) for index in range(40)]
    assert keys == [choose_keys(index, 16, 3) for index in range(40)] and keys[0] != keys[1]
    flat = {key for request in keys for key in request}
    assert len(flat) == 64 and {label for _, label, _ in flat} == {0, 1, 2}
    assert len({truncation for _, _, truncation in flat}) == 3


@pytest.mark.parametrize(
    ("fault", "malformed", "outcome"),
    [
        (Fault(outputs={"png_bytes": np.array([b"\x89PNG"], object)}), 1.0, "bad requests answered"),
        (Fault(13), 1.0, "bad requests that failed otherwise"),
        (Fault(13), 0.0, "good requests that failed"),
        (Fault(outputs={"png_bytes": np.array([b"GIF"], object)}), 0.0, "wrong images"),
    ],
)
def test_a_faulty_server_fails(
    double: ModelServer,
    model: ServedModel,
    capsys: pytest.CaptureFixture[str],
    fault: Fault,
    malformed: float,
    outcome: str,
) -> None:
    model.faults += [Fault(), Fault(), fault]  # After the metadata and the request that is not measured.
    arguments = [f"--server={double.grpc}", "--requests=2", "--batch_sizes=1", "--concurrency=1"]
    assert run([*arguments, f"--malformed={malformed}"]) == 1
    assert f"{outcome}: 1" in capsys.readouterr().out


def test_the_number_of_classes_is_that_of_the_model_card(
    double: ModelServer, model: ServedModel, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "card.json").write_text('{"num_classes": 9}')
    arguments = [f"--server={double.grpc}", "--requests=64", "--batch_sizes=1", f"--model_card={tmp_path}/card.json"]
    assert run(arguments) == 1
    assert "good requests that failed: " in capsys.readouterr().out


@pytest.mark.parametrize(
    "flag",
    [
        *("--server=", "--malformed=2", "--requests=0", "--concurrency=0", "--num_classes=0", "--batch_sizes=257"),
        *("--batch_sizes=", "--batch_sizes=a", "--timeout=0", "--json=/proc/nowhere/a", "--model_card=none.json"),
    ],
)
def test_errors_of_the_user(capsys: pytest.CaptureFixture[str], flag: str) -> None:
    assert run(["--server=a:1", flag]) == 2
    option, _, value = flag.removeprefix("--").partition("=")
    *_, line = capsys.readouterr().err.splitlines()
    assert option in line and value in line
