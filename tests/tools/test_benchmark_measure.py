"""Tests of medians, spreads, peak memory and facts about the machine."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tools.benchmarks.measure import Timing, compute_median_ratio, read_peak_memory_bytes
from tools.machine import collect_machine_facts
from tools.repository import ROOT


def test_one_slow_run_does_not_move_the_median() -> None:
    timing = Timing((0.2, 0.1, 0.3, 60.0, 0.25))
    assert timing.median == 0.25
    assert timing.spread == (0.1, 60.0)
    assert Timing((1.0, 2.0)).median == 1.5


def test_the_ratio_is_the_median_of_the_ratios_of_pairs() -> None:
    """A machine that slows down does not affect it; the ratio of medians is 1.5."""
    assert compute_median_ratio([2.0, 4.0, 60.0], [1.0, 2.0, 40.0]) == 2.0
    assert compute_median_ratio([1.0], [4.0]) == 0.25
    with pytest.raises(ValueError, match="shorter|longer"):
        compute_median_ratio([1.0, 2.0], [1.0])


def test_peak_memory_belongs_to_one_process_and_never_falls() -> None:
    program = (
        "from tools.benchmarks.measure import read_peak_memory_bytes as peak\n"
        "before = peak(); held = b'1' * 2**27; during = peak(); del held; print(before, during, peak())"
    )
    result = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    before, during, after = map(int, result.stdout.split())
    # This process has loaded TensorFlow, and so has a higher peak.
    assert 2**20 < before < 2**26 < read_peak_memory_bytes()
    assert during - before == pytest.approx(2**27, rel=0.05)
    assert after == pytest.approx(during, rel=0.05)


def test_facts_about_the_machine() -> None:
    about = collect_machine_facts()
    assert about["processor"] and 1 <= about["cores"] <= (os.cpu_count() or 1)
    assert about["memory_bytes"] > 2**28
    assert about["tensorflow"].split(".")[0] == "2" and about["keras"].split(".")[0] == "3"
    assert about["python"].count(".") == 2
