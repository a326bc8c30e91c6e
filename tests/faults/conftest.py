"""A run without faults, for comparison with other runs."""

import pathlib

import pytest

from tests.faults.short_run import run_training


@pytest.fixture(scope="session")
def uninterrupted_run(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Return the directory of a run that was not interrupted; tests must not change it."""
    run_dir = tmp_path_factory.mktemp("uninterrupted_run") / "run"
    assert run_training(run_dir) == 0
    return run_dir
