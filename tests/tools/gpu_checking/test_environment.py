from __future__ import annotations

import json
from pathlib import Path

import pytest
import tensorflow as tf

from tests.training.tiny import two_replicas
from tools.gpu_checking.environment import describe_environment, query_nvidia_smi
from tools.gpu_checking.environment_worker import measure_all_reduce


def test_the_environment_is_described_for_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NCCL_DEBUG", "INFO")
    monkeypatch.setenv("PASSWORD", "secret")
    found = json.loads(json.dumps(describe_environment()))
    assert found["packages"]["tensorflow"] == tf.__version__
    assert found["environment"]["NCCL_DEBUG"] == "INFO" and "PASSWORD" not in found["environment"]
    assert found["tensorflow_build"]["is_cuda_build"] in (True, False)


def test_nvidia_smi_is_read_as_it_prints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\necho 'NVIDIA A100-SXM4-40GB, 40960, 3, 550.54.15, 0'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    (gpu,) = query_nvidia_smi()
    assert gpu["memory.total"] == "40960" and gpu["driver_version"] == "550.54.15"
    program.write_text("#!/bin/sh\necho 'NVIDIA-SMI has failed' >&2\nexit 9\n")
    assert query_nvidia_smi() == []
    program.unlink()
    assert query_nvidia_smi() == []


def test_all_reduce_is_timed_over_replicas() -> None:
    found = measure_all_reduce(two_replicas(), num_floats=1000)
    assert found["replicas"] == 2 and found["bytes"] == 4000
    assert found["bus_bytes_per_second"] == pytest.approx(4000 / found["seconds"])
