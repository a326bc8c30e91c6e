"""Tests of the attention benchmark on a very small layer."""

from __future__ import annotations

import json

from tools.benchmarks import attention
from tools.benchmarks.attention import AttentionOptions


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


def test_table() -> None:
    result = {
        "form": "paper",
        "locations": 128,
        "channels": 64,
        "batch": 1,
        "dense": {"seconds": [1.0, 3.0, 2.0], "peak_extra_bytes": 2**31},
        "blockwise": {"seconds": [1.5, 1.5, 1.5], "peak_extra_bytes": 2**26},
        "time_ratio": 0.75,
        "memory_ratio": 1 / 32,
        "relative_difference": 0.0,
    }
    assert attention.format_rows(result) == [
        ["paper, 1 x 128 x 128 x 64", "forward and backward", "peak extra memory"],
        ["dense", "2.00 s (1.00 s to 3.00 s)", "2,048 MiB"],
        ["blockwise", "1.50 s (1.50 s to 1.50 s)", "64 MiB"],
        ["blockwise / dense", "0.75", "0.031"],
    ]
