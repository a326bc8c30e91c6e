"""Actions that look inside: when a profile begins and ends. What they write: test_tensorboard.py."""

from __future__ import annotations

from typing import Any

import pytest
import tensorflow as tf

from sagan_tf.training.actions.inspection import Profile
from sagan_tf.training.actions.schedule import StepReport


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was asked of TensorFlow's profiler."""
    found: list[str] = []
    monkeypatch.setattr(tf.profiler.experimental, "start", lambda folder: found.append(f"start {folder}"))
    monkeypatch.setattr(tf.profiler.experimental, "stop", lambda: found.append("stop"))
    return found


def report(step: int, last: bool = False) -> StepReport:
    return StepReport(step, 1, {}, 1.0, last)


def test_it_covers_its_steps(calls: list[str]) -> None:
    profile = Profile("folder", 4, 6, step=0)
    seen: list[Any] = []
    for step in range(1, 9):
        profile(report(step))
        seen.append(list(calls))
    assert seen[2] == [] and seen[3] == seen[4] == ["start folder"] and seen[5] == seen[7] == ["start folder", "stop"]


def test_it_may_begin_with_the_run_and_ends_with_it(calls: list[str]) -> None:
    profile = Profile("folder", 0, 6, step=0)
    assert calls == ["start folder"]
    profile(report(3, last=True))
    profile.close()
    assert calls == ["start folder", "stop"]


def test_a_run_that_resumes_beyond_it_has_none(calls: list[str]) -> None:
    profile = Profile("folder", 4, 6, step=5)
    profile(report(6))
    profile(report(7))
    profile.close()
    assert calls == []


def test_a_run_that_fails_closes_it(calls: list[str]) -> None:
    profile = Profile("folder", 0, 6, step=0)
    profile.close()
    assert calls == ["start folder", "stop"]
