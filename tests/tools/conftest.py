"""Fixtures of the tests of comparisons."""

from __future__ import annotations

import pathlib

import pytest

from tests.tools.fake_processes import FakeProcesses, flags_of_two_settings
from tools.comparisons import cell_runs


@pytest.fixture
def processes(monkeypatch: pytest.MonkeyPatch) -> FakeProcesses:
    """Return the replacement of the processes that train and evaluate."""
    fake = FakeProcesses()
    monkeypatch.setattr(cell_runs, "run_process", fake)
    return fake


@pytest.fixture
def flags(tmp_path: pathlib.Path) -> list[str]:
    """Return the command line of a benchmark of two settings."""
    return flags_of_two_settings(tmp_path)
