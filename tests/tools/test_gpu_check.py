"""Tests of the command `tools/gpu_check.py` on a machine without a GPU."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tools import gpu_check

ROOT = Path(__file__).parents[2]
DATA = ["--dataset=fashion_mnist_10k", "--resolution=32", "--image_channels=1"]
SMALL = ["--base_channels=2", "--global_batch_size=4", "--architecture=dcgan", "--attention_resolutions="]
FLAGS = [*DATA, *SMALL, "--forms=float32", "--steps=2"]


def test_results_are_printed_and_written(tmp_path: Path) -> None:
    command = [sys.executable, "tools/gpu_check.py", *FLAGS, f"--json={tmp_path / 'found.json'}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0 and "Traceback" not in done.stderr, done.stderr
    found = json.loads((tmp_path / "found.json").read_text())
    assert found["decoding"]["num_classes"] == 10 and found["decoding"]["images_per_second"] > 0
    measured = found["forms"]["float32"]
    assert measured["steps"] == 2 and measured["images_per_second"] > 0 and measured["peak_memory_bytes"] > 2**26
    assert "--gradient_accumulation_steps=1" in done.stdout and str(tmp_path / "found.json") in done.stdout


def test_results_are_kept_when_the_check_is_interrupted(tmp_path: Path) -> None:
    output = tmp_path / "found.json"
    command = [sys.executable, "tools/gpu_check.py", *FLAGS, f"--json={output}"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    with process:
        assert process.stdout is not None and process.stderr is not None
        for line in process.stdout:
            if line.startswith("packages"):  # The environment is printed before anything is timed.
                break
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=300)
    assert process.returncode == 130 and "Traceback" not in errors
    found = json.loads(output.read_text())
    assert found["environment"]["packages"] and "forms" not in found


@pytest.mark.parametrize(
    "flag", ["--forms=float64", "--steps=0", "--max_seconds=0", f"--json={__file__}/file.json", "--loss=none"]
)
def test_invalid_options_get_one_line(flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert gpu_check.run([*FLAGS, flag]) == 2
    *_, line = capsys.readouterr().err.splitlines()  # The line before describes the usage.
    assert flag.partition("=")[0].lstrip("-") in line and "error: " in line
