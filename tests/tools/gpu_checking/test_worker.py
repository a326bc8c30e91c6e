"""Tests of all workers of the check in this process, on an emulated machine with pip's CUDA libraries."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf

from sagan_tf.errors import UserError
from tools.gpu_checking import worker

WORKERS = {path.stem: path for path in sorted(Path(worker.__file__).parent.glob("*_worker.py"))}
FLAGS = "--dataset=fashion_mnist_10k\n--resolution=32\n--image_channels=1\n--num_classes=10\n--strategy=mirrored\n"


@pytest.fixture(autouse=True)
def _command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "flags.cfg").write_text(FLAGS)
    monkeypatch.setattr(sys, "argv", ["a worker", f"--flagfile={tmp_path / 'flags.cfg'}"])


@pytest.mark.parametrize("name", WORKERS)
def test_cuda_libraries_are_loaded_before_gpus_are_listed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[str] = []

    def listing(*arguments: Any) -> Any:
        events.append("list")
        raise RuntimeError("end of the test")

    monkeypatch.delenv("TF_FORCE_GPU_ALLOW_GROWTH", raising=False)
    monkeypatch.setattr(worker, "load_cuda_libraries", lambda: events.append("load"))
    monkeypatch.setattr(worker, "serve", lambda about, run: None)
    for lister in ("list_physical_devices", "list_logical_devices"):
        monkeypatch.setattr(tf.config, lister, listing)
    runpy.run_path(str(WORKERS[name]), run_name="__main__")
    assert events[0] == "load"
    assert ("list" in events) == (name != "decoding_worker")  # This worker uses no device.


def served(monkeypatch: pytest.MonkeyPatch, prepare: worker.Prepare) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return a worker's facts about itself and its answer to a request."""
    answers: list[dict[str, Any]] = []
    monkeypatch.setattr(worker, "serve", lambda about, run: answers.extend([about, run()]))
    worker.run_worker(prepare)
    about, measured = answers
    return about, measured


def test_a_worker_returns_facts_and_measurements(monkeypatch: pytest.MonkeyPatch) -> None:
    assert served(monkeypatch, lambda options: ({"one": 1}, lambda: {"two": 2})) == ({"one": 1}, {"two": 2})


@pytest.mark.parametrize(
    ("error", "expected", "out_of_memory"),
    [
        (UserError("data_dir: expected a directory"), "data_dir: expected a directory", False),
        (ValueError("one\ntwo"), "ValueError: one", False),
        (tf.errors.ResourceExhaustedError(None, None, "OOM when allocating"), "ResourceExhaustedError: OOM", True),
    ],
)
@pytest.mark.parametrize("when", ["prepare", "run"])
def test_errors_are_returned_as_answers(
    error: Exception,
    expected: str,
    out_of_memory: bool,
    when: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail() -> dict[str, Any]:
        raise error

    about, measured = served(monkeypatch, lambda options: (fail() if when == "prepare" else {}, fail))
    answer = about if when == "prepare" else measured
    assert answer["error"].startswith(expected) and "\n" not in answer["error"]
    assert answer["out_of_memory"] is out_of_memory
    assert "Traceback" in capsys.readouterr().err
