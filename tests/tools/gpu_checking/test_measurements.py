"""Tests of the measurements of the check in this process, on a machine without GPUs or with emulated ones."""

from __future__ import annotations

import io
import json
import sys
from typing import Any

import pytest
import tensorflow as tf

from tests.training.tiny import two_replicas
from tools.benchmarks import worker
from tools.gpu_checking.measurements import measure_all_reduce

FLAGS = ["--dataset=fashion_mnist_10k", "--resolution=32", "--image_channels=1", "--num_classes=10"]
PARAMETERS: dict[str, dict[str, Any]] = {
    "gpu_environment": {},
    "gpu_all_reduce": {},
    "gpu_decoding": {"flags": FLAGS},
    "gpu_steps": {"flags": [*FLAGS, "--strategy=mirrored"], "steps": 1},
}


@pytest.mark.parametrize("name", PARAMETERS)
def test_cuda_libraries_are_loaded_before_gpus_are_listed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[str] = []

    def listing(*arguments: Any) -> Any:
        events.append("list")
        raise RuntimeError("end of the test")

    monkeypatch.delenv("TF_FORCE_GPU_ALLOW_GROWTH", raising=False)
    monkeypatch.setattr(worker, "load_cuda_libraries", lambda: events.append("load"))
    monkeypatch.setattr(sys, "argv", ["worker", json.dumps({"measurement": name, "parameters": PARAMETERS[name]})])
    monkeypatch.setattr(sys, "stdin", io.StringIO("run\n"))
    for lister in ("list_physical_devices", "list_logical_devices"):
        monkeypatch.setattr(tf.config, lister, listing)
    worker.main()
    assert events[:2] == ["load", "list"]


def test_all_reduce_is_timed_over_replicas() -> None:
    found = measure_all_reduce(two_replicas(), num_floats=1000)
    assert found["replicas"] == 2 and found["bytes"] == 4000
    assert found["bus_bytes_per_second"] == pytest.approx(4000 / found["seconds"])
