"""Tests of the attention benchmark on a very small layer."""

from __future__ import annotations

import json

import pytest

from tools.benchmarks import attention
from tools.benchmarks.attention import AttentionOptions


@pytest.mark.slow
def test_both_forms_are_measured_and_give_the_same_gradients() -> None:
    result = attention.run(AttentionOptions(locations=48, channels=8, batch=2, rounds=3))
    assert json.loads(json.dumps(result)) == result
    assert (result["form"], result["locations"], result["channels"], result["batch"]) == ("paper", 48, 8, 2)
    for name in ("dense", "blockwise"):
        assert len(result[name]["seconds"]) == 3 and min(result[name]["seconds"]) > 0.0
    assert result["dense"]["peak_extra_bytes"] >= 2 * 48**4 * 4  # The attention map alone needs these bytes.
    assert 0.0 < result["memory_ratio"] == result["blockwise"]["peak_extra_bytes"] / result["dense"]["peak_extra_bytes"]
    assert 0.0 <= result["relative_difference"] < 1e-5
    assert result["time_ratio"] > 0.0
    assert len({len(row) for row in attention.format_rows(result)}) == 1
