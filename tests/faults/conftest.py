"""A run that nothing befell, to compare others with."""

from __future__ import annotations

import pathlib

import pytest

from tests.faults.short_run import run


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Its folder. Nothing may be changed in it."""
    run_dir = tmp_path_factory.mktemp("whole") / "run"
    assert run(run_dir) == 0
    return run_dir
