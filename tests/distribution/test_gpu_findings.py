import dataclasses
import logging
import pathlib
import types
from typing import Any

import pytest
from packaging.requirements import Requirement

from sagan_tf.distribution.gpu_findings import (
    Gpu,
    examine_gpu,
    examine_packages,
    examine_shared_memory,
    explain_unused_gpu,
)
from tests.distribution.made_up_gpus import A10, H100, K80, P100, RTX_5090, SOFTWARE, T4, V100

ERROR, WARNING, INFO = logging.ERROR, logging.WARNING, logging.INFO


@pytest.fixture(autouse=True)
def _set_cuda_cache(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_CACHE_DISABLE", raising=False)
    monkeypatch.setenv("CUDA_CACHE_PATH", str(tmp_path / "kernels"))


def examine(gpu: Gpu, precision: str = "float32", **software: Any) -> list[tuple[int, str]]:
    findings = examine_gpu(gpu, dataclasses.replace(SOFTWARE, **software), precision)
    return [(finding.level, finding.message) for finding in findings]


@pytest.mark.parametrize("gpu", [P100, V100, T4, A10, Gpu("NVIDIA L4", (8, 9)), Gpu("GeForce GTX 1080", (6, 1))])
def test_gpus_with_machine_code_have_no_findings(gpu: Gpu):
    assert examine(gpu) == []
    assert examine(RTX_5090, compute_capabilities=(), cuda=None, driver_cuda=None, cudnn=None, min_cudnn=None) == []


@pytest.mark.parametrize(
    ("gpu", "capabilities"),
    [
        (K80, SOFTWARE.compute_capabilities),
        (Gpu("NVIDIA B200", (10, 0)), SOFTWARE.compute_capabilities),
        (RTX_5090, ("sm_60", "sm_89")),
        (A10, ("sm_70", "sm_89", "compute_89")),  # machine code does not run on an earlier GPU
    ],
)
def test_gpus_without_code_are_an_error(gpu: Gpu, capabilities: tuple[str, ...]):
    ((level, message),) = examine(gpu, compute_capabilities=capabilities)
    assert level == ERROR and gpu.name in message and SOFTWARE.tensorflow in message
    future = examine(gpu, compute_capabilities=("sm_80", "sm_90", "sm_100", "compute_120"))
    assert gpu is K80 or all(level == INFO for level, _ in future)


def test_compilation_of_ptx_is_announced(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch):
    ((level, message),) = examine(H100)
    assert level == INFO and str(tmp_path / "kernels") in message
    assert examine(H100, compute_capabilities=("sm_80", "sm_90")) == []
    monkeypatch.setenv("CUDA_CACHE_DISABLE", "1")
    assert [level for level, _ in examine(H100)] == [WARNING]


@pytest.mark.parametrize(
    ("gpu", "driver_cuda", "levels"),
    [
        (A10, (11, 8), [ERROR]),  # another major version
        (A10, (12, 0), []),  # every driver of CUDA 12 runs every toolkit of CUDA 12
        (H100, (12, 4), [ERROR]),  # a driver compiles PTX only of toolkits that are not newer
        (H100, (12, 5), [INFO]),
        (H100, None, [INFO]),
        (A10, (13, 0), []),
    ],
)
def test_required_driver(gpu: Gpu, driver_cuda: tuple[int, int] | None, levels: list[int]):
    assert [level for level, _ in examine(gpu, driver_cuda=driver_cuda)] == levels


@pytest.mark.parametrize(
    ("gpu", "cudnn", "advice"),
    [
        (V100, (9, 11), "<9.11"),
        (P100, (9, 28), "<9.11"),
        (V100, (9, 10), None),
        (T4, (9, 28), None),
        (A10, (9, 1), ">=9.3,<10"),  # the version that some versions of PyTorch pin
        (V100, (8, 9), ">=9.3,<9.11"),
        (A10, (10, 0), ">=9.3,<10"),
        (A10, None, None),
    ],
)
def test_required_cudnn(gpu: Gpu, cudnn: tuple[int, int] | None, advice: str | None):
    findings = examine(gpu, cudnn=cudnn)
    assert [level for level, _ in findings] == ([ERROR] if advice else [])
    assert all(f"cudnn-cu12{advice}'" in message for _, message in findings)


@pytest.mark.parametrize(
    ("gpu", "precision", "has_tf32", "level"),
    [
        (T4, "mixed_bfloat16", False, WARNING),
        (A10, "mixed_bfloat16", True, None),
        (P100, "mixed_float16", False, WARNING),
        (V100, "mixed_float16", False, None),
        (A10, "float32", True, INFO),
        (A10, "float32", False, None),
        (T4, "float32", True, None),
    ],
)
def test_precisions(gpu: Gpu, precision: str, has_tf32: bool, level: int | None):
    levels = [level for level, _ in examine(gpu, precision, has_tf32=has_tf32)]
    assert levels == ([level] if level else [])


def test_packages_that_tensorflow_does_not_accept():
    unmet = (("nvidia-nccl-cu12 2.20.5", Requirement("nvidia-nccl-cu12<3.0,>=2.27.7")),)
    (finding,) = examine_packages(dataclasses.replace(SOFTWARE, unmet_requirements=unmet))
    assert finding.level == WARNING
    assert "2.20.5" in finding.message and "'nvidia-nccl-cu12<3.0,>=2.27.7'" in finding.message
    assert examine_packages(SOFTWARE) == []


def test_shared_memory_for_several_gpus(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path):
    sizes = {"total": 64 * 2**20}
    monkeypatch.setattr("shutil.disk_usage", lambda path: types.SimpleNamespace(**sizes))
    (finding,) = examine_shared_memory(2, str(tmp_path))
    assert finding.level == WARNING and "64 MiB" in finding.message
    assert examine_shared_memory(1, str(tmp_path)) == []
    assert examine_shared_memory(2, str(tmp_path / "none")) == []
    sizes["total"] = 8 * 2**30
    assert examine_shared_memory(2, str(tmp_path)) == []


@pytest.mark.parametrize(
    ("software", "reason"),
    [
        ({"compute_capabilities": ()}, "tensorflow[and-cuda]==2.21.0"),
        ({"driver_cuda": None}, "libcuda.so.1"),
        ({"has_nvml": False}, "libnvidia-ml.so.1"),
        ({"driver_cuda": (11, 4)}, "11.4"),
        ({"missing_packages": ("nvidia-cudnn-cu12", "nvidia-nccl-cu12")}, "nvidia-cudnn-cu12, nvidia-nccl-cu12"),
    ],
)
def test_reasons_for_an_unused_gpu(software: dict, reason: str):
    finding = explain_unused_gpu(dataclasses.replace(SOFTWARE, **software))
    assert finding.level == WARNING and reason in finding.message
