from __future__ import annotations

import ctypes
import json
import logging
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import tensorflow as tf

from sagan_tf.distribution.gpu_findings import Finding, Gpu
from tests.distribution.made_up_gpus import simulate_gpus
from tests.tools.gpu_checking.emulated_driver import A100, DISPLAY, EmulatedDriver
from tools.gpu_checking import environment
from tools.gpu_checking.environment import describe_environment, describe_gpus, query_nvidia_smi
from tools.machine import collect_machine_facts


def test_the_environment_is_described_for_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NCCL_DEBUG", "INFO")
    monkeypatch.setenv("PASSWORD", "secret")
    found = json.loads(json.dumps(describe_environment()))
    assert found["packages"]["tensorflow"] == tf.__version__
    assert found["environment"]["NCCL_DEBUG"] == "INFO" and "PASSWORD" not in found["environment"]
    assert found["tensorflow_build"]["is_cuda_build"] in (True, False)


def test_the_output_of_nvidia_smi_is_parsed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\necho 'GPU-01234567, NVIDIA A100-SXM4-40GB, 40960, 3, 550.54.15, 0'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    (gpu,) = query_nvidia_smi()
    assert gpu["uuid"] == "GPU-01234567" and gpu["memory.total"] == "40960" and gpu["driver_version"] == "550.54.15"
    program.write_text("#!/bin/sh\necho 'NVIDIA-SMI has failed' >&2\nexit 9\n")
    assert query_nvidia_smi() == []
    program.unlink()
    assert query_nvidia_smi() == []


def mixed_machine(monkeypatch: pytest.MonkeyPatch, *listed: Gpu) -> list[dict[str, Any]]:
    """Describe a machine with a display's GPU and an A100.

    Args:
        monkeypatch: The fixture.
        *listed: The GPUs that TensorFlow lists.
    """
    simulate_gpus(monkeypatch, *listed)
    devices = [SimpleNamespace(name=f"GPU:{number}") for number in range(len(listed))]
    details = {f"GPU:{number}": gpu for number, gpu in enumerate(listed)}
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind=None: devices if kind == "GPU" else [])
    monkeypatch.setattr(
        tf.config.experimental,
        "get_device_details",
        lambda gpu: {"device_name": details[gpu.name].name, "compute_capability": details[gpu.name].capability},
    )
    monkeypatch.setattr(ctypes, "CDLL", EmulatedDriver([DISPLAY, A100]))
    return describe_gpus()


BIG, SMALL = Gpu(A100.name, (8, 0)), Gpu(DISPLAY.name, (7, 5))


@pytest.mark.parametrize("visible", ["1", A100.uuid, None])
def test_memory_is_that_of_the_gpus_that_tensorflow_lists(visible: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    (gpu,) = mixed_machine(monkeypatch, BIG)  # Without the variable, TensorFlow does not list the small GPU.
    assert gpu["memory_bytes"] == 40 * 2**30 and gpu["uuid"] == A100.uuid and gpu["compute_capability"] == "8.0"


def test_gpus_of_two_kinds_keep_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1,0")
    described = mixed_machine(monkeypatch, BIG, SMALL)
    assert [gpu["memory_bytes"] for gpu in described] == [40 * 2**30, 2 * 2**30]


def test_memory_is_unknown_if_the_driver_has_different_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    (gpu,) = mixed_machine(monkeypatch, BIG)
    assert gpu["memory_bytes"] is None and gpu["uuid"] is None


def test_messages_of_the_preflight_check_are_listed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def find(precision: str) -> list[Finding]:
        asked.append(precision)
        return [Finding(logging.INFO, "compiles kernels"), Finding(logging.INFO, f"about {precision}")]

    monkeypatch.setattr(environment, "collect_findings", find)
    found = describe_environment()["preflight"]
    assert found == ["compiles kernels", *(f"about {precision}" for precision in asked)]
    assert {"float32", "mixed_bfloat16", "mixed_float16"} == set(asked)


def test_a_tpu_and_its_packages_are_described(monkeypatch: pytest.MonkeyPatch) -> None:
    versions = {"tensorflow-tpu": "2.20.0", "libtpu": "0.0.20"}

    def version(name: str) -> str:
        if name not in versions:
            raise metadata.PackageNotFoundError(name)
        return versions[name]

    monkeypatch.setattr(metadata, "version", version)
    monkeypatch.setattr(environment, "has_tpu", lambda: True)
    found = describe_environment()
    assert found["packages"] == versions and found["has_tpu"] is True
    versions["keras"] = "3.15.1"
    assert collect_machine_facts()["tensorflow"] == "2.20.0"
