import ctypes
import importlib.metadata
import os
import pathlib
import unittest.mock

import pytest

from sagan_tf.environment import cuda
from sagan_tf.environment.cuda import find_cuda_cache, has_nvidia_gpu, load_cuda_libraries, prepare_cuda

WSL = "usr/lib/wsl/lib/libcuda.so.1"


@pytest.fixture(autouse=True)
def _unset_cuda_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("VISIBLE_DEVICES", "CACHE_PATH", "CACHE_MAXSIZE", "CACHE_DISABLE"):
        monkeypatch.delenv(f"CUDA_{name}", raising=False)
    monkeypatch.delenv("TF_GPU_THREAD_MODE", raising=False)


def create_machine(root: pathlib.Path, *files: str) -> pathlib.Path:
    for file in files:
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).touch()
    return root


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ((), False),
        (("dev/nvidia0",), True),
        (("dev/nvidia3", "dev/nvidiactl"), True),  # docker run --gpus=device=3
        (("dev/nvidiactl", "dev/nvidia-uvm", "dev/nvidia-caps/nvidia-cap1"), False),  # a driver without a GPU
        (("dev/dxg", WSL), True),
        (("dev/dxg", "usr/lib/wsl/drivers/nv_dispi.inf_amd64/libcuda.so.1.1"), True),  # a container in WSL 2
        (("dev/dxg", "usr/lib/wsl/lib/libdxcore.so"), False),  # a GPU of another maker
        ((WSL,), False),
    ],
)
def test_detection_of_nvidia_gpus(tmp_path: pathlib.Path, files: tuple[str, ...], expected: bool):
    assert has_nvidia_gpu(create_machine(tmp_path, *files)) is expected


VISIBLE = dict.fromkeys(("", "-1", " -1,0", "NoDevFiles"), False)
VISIBLE |= dict.fromkeys(("0", "3,-1", "GPU-8932f937", "MIG-GPU-8932f937/1/2"), True)


@pytest.mark.parametrize(("visible", "expected"), VISIBLE.items())
def test_hidden_gpus(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, visible: str, expected: bool):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert has_nvidia_gpu(create_machine(tmp_path, "dev/nvidia0")) is expected


@pytest.mark.parametrize(
    ("has_gpu", "in_system", "in_pip", "expected"),
    [
        (False, True, True, []),
        (True, True, True, ["libcusolver.so.11"]),
        (True, False, True, ["site/nvidia/cusolver/lib/libcusolver.so.11"]),
        (True, False, False, []),
    ],
)
def test_cusolver_is_loaded_from_the_system_or_from_pip(
    monkeypatch: pytest.MonkeyPatch, has_gpu: bool, in_system: bool, in_pip: bool, expected: list[str]
):
    loaded: list[str] = []

    def load(library: str) -> None:
        if "/" not in library and not in_system:
            raise OSError(f"{library}: cannot open shared object file")
        loaded.append(library)

    class File(pathlib.PurePosixPath):
        def locate(self) -> pathlib.PurePosixPath:
            return "site" / self

    def files(package: str) -> list[File]:
        if not in_pip:
            raise importlib.metadata.PackageNotFoundError(package)
        return [File("nvidia/cusolver/lib") / name for name in ("libcusolverMg.so.11", "libcusolver.so.11")]

    monkeypatch.setattr(cuda, "has_nvidia_gpu", lambda: has_gpu)
    monkeypatch.setattr(ctypes, "CDLL", load)
    monkeypatch.setattr(importlib.metadata, "files", files)
    load_cuda_libraries()
    assert loaded == expected


@pytest.mark.parametrize(
    ("name", "default"), [("CUDA_CACHE_MAXSIZE", "4294967296"), ("TF_GPU_THREAD_MODE", "gpu_private")]
)
def test_variables_that_are_set_are_kept(name: str, default: str, monkeypatch: pytest.MonkeyPatch):
    prepare_cuda()
    assert os.environ[name] == default
    monkeypatch.setenv(name, "1000")
    prepare_cuda()
    assert os.environ[name] == "1000"


@pytest.mark.parametrize("has_gpu", [True, False])
def test_cache_directory_is_created_if_there_is_a_gpu(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, has_gpu: bool
):
    monkeypatch.setattr("sagan_tf.environment.cuda.has_nvidia_gpu", lambda: has_gpu)
    monkeypatch.setenv("CUDA_CACHE_MAXSIZE", "1000")
    monkeypatch.setenv("CUDA_CACHE_PATH", str(tmp_path / "new" / "cuda"))
    prepare_cuda()
    assert (tmp_path / "new" / "cuda").is_dir() is has_gpu


def test_directory_of_compiled_kernels(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert find_cuda_cache() == tmp_path / ".nv" / "ComputeCache"
    monkeypatch.setenv("CUDA_CACHE_PATH", str(tmp_path / "kernels"))
    assert find_cuda_cache() == tmp_path / "kernels"
    monkeypatch.setenv("CUDA_CACHE_PATH", "/proc/nowhere/kernels")
    monkeypatch.setattr("os.access", lambda path, mode: str(path) != "/proc")
    assert find_cuda_cache() is None
    monkeypatch.setenv("CUDA_CACHE_PATH", str(tmp_path))
    monkeypatch.setenv("CUDA_CACHE_DISABLE", "1")
    assert find_cuda_cache() is None
    monkeypatch.delenv("CUDA_CACHE_DISABLE")
    monkeypatch.delenv("CUDA_CACHE_PATH")
    monkeypatch.setattr(pathlib.Path, "expanduser", unittest.mock.Mock(side_effect=RuntimeError("no home directory")))
    assert find_cuda_cache() is None
