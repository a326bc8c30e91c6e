"""Tests of the profile; test_tensorboard.py tests the files of all these actions."""

from typing import Any

import pytest
import tensorflow as tf

from sagan_tf.training.actions.inspection import Profile
from sagan_tf.training.actions.schedule import StepReport


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Record the calls of TensorFlow's profiler."""
    found: list[str] = []
    monkeypatch.setattr(tf.profiler.experimental, "start", lambda directory: found.append(f"start {directory}"))
    monkeypatch.setattr(tf.profiler.experimental, "stop", lambda: found.append("stop"))
    return found


def report(step: int, last: bool = False) -> StepReport:
    return StepReport(step, 1, {}, 1.0, last)


def test_a_profile_covers_its_steps(calls):
    profile = Profile("directory", 4, 6, step=0)
    seen: list[Any] = []
    for step in range(1, 9):
        profile(report(step))
        seen.append(list(calls))
    assert (
        seen[2] == []
        and seen[3] == seen[4] == ["start directory"]
        and seen[5] == seen[7] == ["start directory", "stop"]
    )


@pytest.mark.parametrize("reports", [[3], []])
def test_a_profile_starts_and_ends_with_the_run(reports, calls):
    profile = Profile("directory", 0, 6, step=0)
    assert calls == ["start directory"]
    for step in reports:
        profile(report(step, last=True))
    profile.close()
    assert calls == ["start directory", "stop"]


def test_a_run_that_resumes_after_the_steps_has_no_profile(calls):
    profile = Profile("directory", 4, 6, step=5)
    profile(report(6))
    profile(report(7))
    profile.close()
    assert calls == []
