"""Figures of GPUs."""

from __future__ import annotations

import dataclasses

import pytest

from sagan_tf.errors import UserError
from tools.scaling_model.devices import DEVICES

every_device = pytest.mark.parametrize("name", DEVICES)


@every_device
def test_figures_are_complete_and_in_basic_units(name: str) -> None:
    device = DEVICES[name]
    assert device.name == name and device.source
    assert 1e10 < device.memory_bytes < 1e12
    assert 1e11 < device.memory_bandwidth < 1e13
    assert 1e10 <= device.local_link < device.memory_bandwidth
    assert device.peak_flops["float32"] == min(device.peak_flops.values()) > 1e12


@every_device
def test_narrower_formats_are_no_slower(name: str) -> None:
    peak = DEVICES[name].peak_flops
    assert peak.get("tf32", 0.0) <= peak.get("bfloat16", peak.get("float16", 0.0))
    assert peak.get("bfloat16", peak.get("float16")) == peak.get("float16")


def test_figures_of_the_data_sheets() -> None:
    assert DEVICES["A100"].peak_flops["bfloat16"] == 312e12
    assert DEVICES["A100"].memory_bandwidth == 2039e9
    # The figure without sparsity.
    assert DEVICES["H100"].peak_flops["bfloat16"] == pytest.approx(989.4e12, rel=1e-3)
    assert DEVICES["L4"].peak_flops["tf32"] == 60e12


@pytest.mark.parametrize(
    ("name", "precision", "expected"),
    [
        ("V100", "float32", "float32"),
        ("A100", "float32", "tf32"),
        ("A100", "mixed_bfloat16", "bfloat16"),
        ("T4", "mixed_float16", "float16"),
    ],
)
def test_number_format(name: str, precision: str, expected: str) -> None:
    assert DEVICES[name].choose_number_format(precision) == expected


def test_a_precision_without_units_is_rejected() -> None:
    with pytest.raises(UserError, match="precision: .*V100 .*mixed_bfloat16"):
        DEVICES["V100"].choose_number_format("mixed_bfloat16")
    bare = dataclasses.replace(DEVICES["V100"], peak_flops={"float32": 1.0})
    with pytest.raises(UserError, match="precision: .*mixed_float16"):
        bare.choose_number_format("mixed_float16")
