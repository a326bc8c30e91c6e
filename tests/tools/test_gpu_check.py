"""Tests of the command `tools/gpu_check.py` on a machine without a GPU."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from tools import gpu_check
from tools.benchmarks.worker import import_measurement
from tools.gpu_checking import ask, check, measurements
from tools.gpu_checking.ask import Answer, ask_worker

ROOT = Path(__file__).parents[2]
DATA = ["--dataset=fashion_mnist_10k", "--resolution=32", "--image_channels=1"]
SMALL = ["--base_channels=2", "--global_batch_size=4", "--architecture=dcgan", "--attention_resolutions="]
SMALL += ["--nogenerator_spectral_norm", "--nodiscriminator_spectral_norm"]
FLAGS = [*DATA, *SMALL, "--strategy=one_device", "--forms=float32", "--steps=2"]


class WorkerInThisProcess:
    """A worker that does not load TensorFlow again."""

    def __init__(self, measurement: str, parameters: dict[str, Any], *_: Any) -> None:
        self._measurement = import_measurement(measurement)(**json.loads(json.dumps(parameters)))

    def __enter__(self) -> WorkerInThisProcess:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def wait_until_ready(self) -> Answer:
        return json.loads(json.dumps(self._measurement.about))

    def run(self) -> Answer:
        return json.loads(json.dumps(self._measurement.run()))


@pytest.mark.parametrize("has_processes", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_results_are_printed_and_written(
    has_processes: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if not has_processes:
        monkeypatch.setattr(ask, "Worker", WorkerInThisProcess)
        monkeypatch.setattr(measurements, "_DECODING_SECONDS", 0.1)
    assert gpu_check.run([*FLAGS, f"--json={tmp_path / 'found.json'}"]) == 0
    printed = capsys.readouterr()
    assert "Traceback" not in printed.err
    found = json.loads((tmp_path / "found.json").read_text())
    assert found["environment"]["packages"]
    assert found["decoding"]["num_classes"] == 10 and found["decoding"]["images_per_second"] > 0
    measured = found["forms"]["float32"]
    assert measured["steps"] == 2 and measured["images_per_second"] > 0 and measured["peak_memory_bytes"] > 2**26
    assert "--gradient_accumulation_steps=1" in printed.out and str(tmp_path / "found.json") in printed.out


def test_results_are_kept_when_the_check_is_interrupted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Interrupt the check while it waits for its second worker, which takes seconds to load TensorFlow."""

    def answer_or_interrupt(measurement: str, *arguments: Any, **options: Any) -> Answer:
        if measurement == "gpu_environment":
            return {"error": "made up"}
        threading.Timer(0.5, os.kill, [os.getpid(), signal.SIGINT]).start()
        return ask_worker(measurement, *arguments, **options)

    monkeypatch.setattr(check, "ask_worker", answer_or_interrupt)
    assert gpu_check.run([*FLAGS, f"--json={tmp_path / 'found.json'}"]) == 130
    assert "Traceback" not in capsys.readouterr().err
    found = json.loads((tmp_path / "found.json").read_text())
    assert found["environment"] == {"error": "made up"} and "decoding" not in found


def test_the_tool_runs_as_a_program() -> None:
    command = [sys.executable, "tools/gpu_check.py", "--forms=float64"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2 and "forms" in done.stderr and "Traceback" not in done.stderr and not done.stdout


@pytest.mark.parametrize(
    "flag", ["--forms=float64", "--steps=0", "--max_seconds=0", f"--json={__file__}/file.json", "--loss=none"]
)
def test_invalid_options_get_one_line(flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert gpu_check.run([*FLAGS, flag]) == 2
    *_, line = capsys.readouterr().err.splitlines()  # The line before describes the usage.
    assert flag.partition("=")[0].lstrip("-") in line and "error: " in line
