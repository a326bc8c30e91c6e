import ctypes
import importlib.metadata
import types
from collections.abc import Callable

import pytest
import tensorflow as tf

from sagan_tf.distribution import gpu_software
from sagan_tf.distribution.gpu_software import read_driver_cuda, read_gpu_software, read_loaded_cudnn

REQUIRES = ["numpy>=1.26", 'nvidia-cudnn-cu12<10.0,>=9.3.0.75; extra == "and-cuda"']
REQUIRES += ['nvidia-nccl-cu12<3.0,>=2.27.7; extra == "and-cuda"', 'nvidia-cufft-cu12<12,>=11.2; extra == "and-cuda"']
BUILD = {"cuda_compute_capabilities": ["sm_80", "compute_90"], "cuda_version": "12.5.1", "cudnn_version": "9"}


def install(monkeypatch: pytest.MonkeyPatch, **versions: str) -> None:
    """Simulate installed packages and a TensorFlow that is built for CUDA."""

    def version(name: str) -> str:
        try:
            return versions[name.replace("-", "_")]
        except KeyError:
            raise importlib.metadata.PackageNotFoundError(name) from None

    monkeypatch.setattr(tf.sysconfig, "get_build_info", lambda: BUILD)
    monkeypatch.setattr(importlib.metadata, "requires", lambda name: REQUIRES)
    monkeypatch.setattr(importlib.metadata, "version", version)


def simulate_libraries(monkeypatch: pytest.MonkeyPatch, **functions: Callable) -> None:
    """Simulate shared libraries with the given functions; without functions, no library can be loaded."""

    def open_library(name: str, mode: int = 0) -> types.SimpleNamespace:
        if not functions:
            raise OSError(f"{name}: cannot open shared object file")
        return types.SimpleNamespace(**functions)

    monkeypatch.setattr(ctypes, "CDLL", open_library)


def driver(number: int, status: int = 0) -> Callable:
    def get_version(reference) -> int:
        reference._obj.value = number
        return status

    return get_version


def test_versions_of_installed_packages(monkeypatch: pytest.MonkeyPatch):
    install(monkeypatch, nvidia_cudnn_cu12="9.28.0.42", nvidia_nccl_cu12="2.20.5")
    simulate_libraries(monkeypatch)
    software = read_gpu_software()
    assert software.compute_capabilities == ("sm_80", "compute_90")
    assert (software.cuda, software.driver_cuda, software.has_nvml) == ((12, 5), None, False)
    assert (software.cudnn, software.min_cudnn, software.cudnn_package) == ((9, 28), (9, 3), "nvidia-cudnn-cu12")
    ((installed, needed),) = software.unmet_requirements
    assert installed == "nvidia-nccl-cu12 2.20.5" and needed.name == "nvidia-nccl-cu12"
    assert software.missing_packages == ("nvidia-cufft-cu12",)


def test_loaded_cudnn_takes_precedence_over_the_installed_one(monkeypatch: pytest.MonkeyPatch):
    install(monkeypatch, nvidia_cudnn_cu12="9.28.0.42")
    simulate_libraries(monkeypatch, cudnnGetVersion=lambda: 91002)
    software = read_gpu_software()
    assert (software.cudnn, software.has_nvml) == ((9, 10), True)
    install(monkeypatch)
    simulate_libraries(monkeypatch)
    assert read_gpu_software().cudnn is None
    for number, version in ((91002, (9, 10)), (90300, (9, 3)), (8907, (8, 9)), (100101, (10, 1))):
        simulate_libraries(monkeypatch, cudnnGetVersion=lambda number=number: number)
        assert read_loaded_cudnn("9") == version


@pytest.mark.parametrize(
    ("get_version", "expected"),
    [(driver(12040), (12, 4)), (driver(13000), (13, 0)), (driver(0), None), (driver(12040, status=999), None)],
)
def test_cuda_version_of_the_driver(monkeypatch: pytest.MonkeyPatch, get_version, expected: tuple[int, int] | None):
    simulate_libraries(monkeypatch, cuDriverGetVersion=get_version)
    assert read_driver_cuda() == expected


def test_tensorflow_with_another_package_name_and_without_cuda(monkeypatch: pytest.MonkeyPatch):
    def missing(name: str) -> list[str]:
        raise importlib.metadata.PackageNotFoundError(name)

    install(monkeypatch)
    simulate_libraries(monkeypatch)
    monkeypatch.setattr(importlib.metadata, "requires", missing)
    monkeypatch.setattr(tf.sysconfig, "get_build_info", lambda: {"is_cuda_build": False})
    software = read_gpu_software()
    assert software.compute_capabilities == () and software.unmet_requirements == ()
    assert software.cuda is software.min_cudnn is None


def test_software_of_this_process():
    software = read_gpu_software()
    assert software.tensorflow == tf.__version__
    assert all(requirement.name.startswith("nvidia-") for requirement in gpu_software.read_cuda_requirements())
