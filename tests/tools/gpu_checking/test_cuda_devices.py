from __future__ import annotations

import ctypes
import uuid
from typing import Any

import pytest

from tests.tools.gpu_checking.emulated_driver import A100, DISPLAY, EmulatedDriver
from tools.gpu_checking.cuda_devices import list_cuda_devices


@pytest.mark.parametrize(
    ("visible", "expected"), [("0,1", [DISPLAY, A100]), ("1", [A100]), (A100.uuid, [A100]), ("-1", [])]
)
def test_the_devices_are_those_of_the_driver(
    visible: str, expected: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    monkeypatch.setattr(ctypes, "CDLL", EmulatedDriver([DISPLAY, A100]))
    assert list_cuda_devices() == expected
    assert uuid.UUID(A100.uuid.removeprefix("GPU-"))


@pytest.mark.parametrize("failing", ["cuInit", "cuDeviceGetCount", "cuDeviceTotalMem_v2"])
def test_a_failing_driver_gives_no_devices(failing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", EmulatedDriver([A100], failing))
    assert list_cuda_devices() == []


def test_a_missing_driver_gives_no_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise OSError(f"{name}: cannot open shared object file")

    monkeypatch.setattr(ctypes, "CDLL", missing)
    assert list_cuda_devices() == []
