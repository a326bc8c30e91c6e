import os
import subprocess
import sys

import pytest

from sagan_tf.errors import UserError
from tools.comparisons import devices
from tools.comparisons.devices import check_device_names, check_devices_exist, use_device

SHOW = "import os; print(os.environ.get('CUDA_VISIBLE_DEVICES'), sorted(os.sched_getaffinity(0)))"


def run_in_process() -> str:
    return subprocess.run([sys.executable, "-c", SHOW], check=True, capture_output=True, text=True).stdout.strip()


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="only Linux binds processes to cores")
def test_processes_use_the_device(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(devices, "has_nvidia_gpu", lambda: True)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5, GPU-3f")
    cores = sorted(os.sched_getaffinity(0))
    expected = {
        "": f"5, GPU-3f {cores}",
        "cpu": f"-1 {cores}",
        f"cpu:{cores[-1]}": f"-1 [{cores[-1]}]",
        "gpu:0": f"5 {cores}",
        "gpu:1": f"GPU-3f {cores}",
    }
    for device, output in expected.items():
        with use_device(device):
            assert run_in_process() == output
    assert run_in_process() == f"5, GPU-3f {cores}"
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    with use_device("gpu:3"):
        assert run_in_process() == f"3 {cores}"
    assert "CUDA_VISIBLE_DEVICES" not in os.environ


@pytest.mark.parametrize(("visible", "has_gpu"), [("5,7", True), ("5,7,-1,8", True), ("-1", True), (None, False)])
def test_a_gpu_that_is_not_visible_is_refused(visible: str | None, has_gpu: bool, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(devices, "has_nvidia_gpu", lambda: has_gpu)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    with pytest.raises(UserError, match="devices: .*'gpu:2'"):
        check_devices_exist(["gpu:2"])


@pytest.mark.parametrize("names", [("tpu",), ("gpu",), ("cpu", "cpu"), ("",)])
def test_wrong_devices_are_refused(names: tuple[str, ...]):
    with pytest.raises(UserError, match=f"devices: .*{names[-1]!r}"):
        check_device_names(names)


@pytest.mark.parametrize("name", ["cpu:9999"])
def test_a_core_that_does_not_exist_is_refused(name: str):
    check_device_names([name])
    with pytest.raises(UserError, match=f"devices: .*{name!r}"):
        check_devices_exist([name])
