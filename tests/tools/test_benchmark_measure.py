"""Medians, spreads and what a record says of the machine."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tools.benchmarks.measure import Timing, machine, median_ratio, peak_memory_bytes
from tools.benchmarks.workers import ROOT


def test_one_slow_run_does_not_move_the_median() -> None:
    timing = Timing((0.2, 0.1, 0.3, 60.0, 0.25))
    assert timing.median == 0.25
    assert timing.spread == (0.1, 60.0)
    assert Timing((1.0, 2.0)).median == 1.5


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        ((2.0, 1.0, 12.345), "2.00 s (1.00 s to 12.35 s)"),
        ((0.5, 0.0123, 1.0), "500.0 ms (12.3 ms to 1.00 s)"),
        ((0.001, 0.000999, 0.0000004), "999 us (0 us to 1.0 ms)"),
    ],
)
def test_timings_in_words(seconds: tuple[float, ...], text: str) -> None:
    assert str(Timing(seconds)) == text


def test_ratios_are_of_pairs() -> None:
    """A machine that gets slower by and by doesn't change them; the ratio of the medians would be 1.5."""
    assert median_ratio([2.0, 4.0, 60.0], [1.0, 2.0, 40.0]) == 2.0
    assert median_ratio([1.0], [4.0]) == 0.25
    with pytest.raises(ValueError, match="shorter|longer"):
        median_ratio([1.0, 2.0], [1.0])


def test_peak_memory_is_a_processs_own_and_stays() -> None:
    program = (
        "from tools.benchmarks.measure import peak_memory_bytes as peak\n"
        "before = peak(); held = b'1' * 2**27; during = peak(); del held; print(before, during, peak())"
    )
    result = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    before, during, after = map(int, result.stdout.split())
    # This process, which has TensorFlow loaded, has had more.
    assert 2**20 < before < 2**26 < peak_memory_bytes()
    assert during - before == pytest.approx(2**27, rel=0.05)
    assert after == pytest.approx(during, rel=0.05)


def test_the_machine() -> None:
    about = machine()
    assert about["processor"] and 1 <= about["cores"] <= (os.cpu_count() or 1)
    assert about["memory_bytes"] > 2**28
    assert about["tensorflow"].split(".")[0] == "2" and about["keras"].split(".")[0] == "3"
    assert about["python"].count(".") == 2
