import os
import subprocess
import sys

import pytest

from sagan_tf.errors import UserError
from tools.ablations.devices import check_devices, use_device

SHOW = "import os; print(os.environ.get('CUDA_VISIBLE_DEVICES'), sorted(os.sched_getaffinity(0)))"


def run_in_process() -> str:
    return subprocess.run([sys.executable, "-c", SHOW], check=True, capture_output=True, text=True).stdout.strip()


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="only Linux binds processes to cores")
def test_processes_use_the_device(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5")
    cores = sorted(os.sched_getaffinity(0))
    expected = {
        "": f"5 {cores}",
        "cpu": f"-1 {cores}",
        f"cpu:{cores[-1]}": f"-1 [{cores[-1]}]",
        "gpu:3": f"3 {cores}",
    }
    for device, output in expected.items():
        with use_device(device):
            assert run_in_process() == output
    assert run_in_process() == f"5 {cores}"
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    with use_device("gpu:0"):
        pass
    assert "CUDA_VISIBLE_DEVICES" not in os.environ


@pytest.mark.parametrize("names", [("tpu",), ("gpu",), ("gpu:1", "gpu:1"), ("cpu:9999",), ("",)])
def test_wrong_devices_are_refused(names: tuple[str, ...]):
    with pytest.raises(UserError, match=f"devices: .*{names[-1]!r}"):
        check_devices(names)
