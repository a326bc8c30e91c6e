"""Tests of the program that measures, and of its measurements on small networks."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from typing import Any

import pytest
import tensorflow as tf

from sagan_tf.errors import UserError
from tools.benchmarks import worker
from tools.benchmarks.measure import Measurement
from tools.benchmarks.worker import import_measurement
from tools.benchmarks.worker_process import Worker
from tools.repository import ROOT

SIZES = {"batch_size": 2, "base_channels": 4, "num_classes": 3}
SMALL_TRAINING = {"resolution": 32, "image_channels": 1, "attention_resolution": 16, "precision": "float32"}
PARAMETERS: dict[str, dict[str, Any]] = {
    "evaluation": {"images": 2, "batch_size": 2},
    "statistics": {"features": 3000},
    "sampling": SIZES | {"form": "saved_model"},
    "matrix_product": {},
    "image_files": {"run_dir": "", "images": 20, "batch_size": 8},
}
SLOW = [
    pytest.param(name, marks=pytest.mark.slow) for name in ("evaluation", "statistics", "sampling", "matrix_product")
]


def measure(name: str, **parameters: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the facts that are known before a measurement, and its result."""
    measurement = import_measurement(name)(**parameters)
    return measurement.about, measurement.run()


@pytest.mark.parametrize("name", [*SLOW, "image_files"])
def test_measurements_are_positive(name: str) -> None:
    _, measured = measure(name, **PARAMETERS[name])
    assert measured and all(value > 0.0 for value in measured.values())


@pytest.mark.slow
def test_training_steps() -> None:
    found = {
        form: measure("train_step", **SIZES, **SMALL_TRAINING, jit_compile=False, resampling=form)
        for form in ("auto", "plain")
    }
    for about, measured in found.values():
        assert measured["seconds"] > 0.0 and measured["peak_memory_bytes"] > 2**26
        assert about["seconds_to_first_step"] > measured["seconds"]
    assert 0.0 < found["auto"][0]["flops_per_image"] < 0.8 * found["plain"][0]["flops_per_image"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["tf_gan_train_step", "tf_gan_sampling"])
def test_tf_gan_in_a_process_of_its_own(name: str) -> None:
    with Worker(name, SIZES) as process:
        process.wait_until_ready()
        measured = process.run()
    assert measured["seconds"] > 0.0 and measured["peak_memory_bytes"] > 2**26


def serve(monkeypatch: pytest.MonkeyPatch, prepare: worker.Prepare, **parameters: Any) -> list[dict[str, Any]]:
    """Return the answers of the program to two requests."""
    output = io.StringIO()
    request = json.dumps({"measurement": "example", "parameters": parameters})
    monkeypatch.setattr(sys, "argv", ["worker", request])
    monkeypatch.setattr(sys, "stdin", io.StringIO("run\nrun\n"))
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", output)
        worker.main(lambda name: prepare)
    return [json.loads(line) for line in output.getvalue().splitlines()]


def test_the_program_answers_with_facts_and_results(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = serve(monkeypatch, lambda size: Measurement(lambda: {"twice": 2 * size}, {"size": size}), size=3)
    assert answers == [{"size": 3}, {"twice": 6}, {"twice": 6}]


@pytest.mark.parametrize(
    ("error", "expected", "out_of_memory"),
    [
        (UserError("data_dir: expected a directory"), "data_dir: expected a directory", False),
        (ValueError("one\ntwo"), "ValueError: one", False),
        (tf.errors.ResourceExhaustedError(None, None, "OOM when allocating"), "ResourceExhaustedError: OOM", True),
    ],
)
@pytest.mark.parametrize("when", ["prepare", "run"])
def test_an_error_is_the_last_answer(
    error: Exception,
    expected: str,
    out_of_memory: bool,
    when: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail() -> dict[str, Any]:
        raise error

    answers = serve(monkeypatch, lambda: Measurement(fail, fail() if when == "prepare" else {}))
    assert len(answers) == (1 if when == "prepare" else 2)
    assert answers[-1]["error"].startswith(expected) and "\n" not in answers[-1]["error"]
    assert answers[-1]["out_of_memory"] is out_of_memory
    assert "Traceback" in capsys.readouterr().err


def test_only_measurements_load_tensorflow() -> None:
    program = "import sys, tools.benchmark\n"
    program += "from tools.benchmarks.worker import MEASUREMENTS, import_measurement\n"
    program += "assert all(map(import_measurement, MEASUREMENTS))\n"
    program += "sys.exit('tensorflow' in sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True, cwd=ROOT)
