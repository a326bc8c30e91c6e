"""Tests that a run with a damaged newest checkpoint resumes from the previous one, with the same results."""

import pathlib
import shutil

import pytest

from tests.faults.outcomes import assert_equal_runs, list_files
from tests.faults.short_run import STEPS, run_training

NEWEST, BEFORE = f"step-{STEPS}", f"step-{STEPS - 2}"
DATA = ".data-00000-of-00001"


def truncate(path: pathlib.Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip_bit(path: pathlib.Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 1
    path.write_bytes(content)


def empty(path: pathlib.Path) -> None:
    path.write_bytes(b"")


@pytest.mark.slow  # tests/runs/test_checkpoints.py has shorter tests
@pytest.mark.parametrize(
    ("damage", "ending"),
    [
        (flip_bit, DATA),
        (truncate, DATA),
        (truncate, ".index"),
        (empty, ".index"),
        (pathlib.Path.unlink, ".index"),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_run_resumes_from_the_previous_checkpoint(damage, ending, tmp_path, uninterrupted_run, capsys):
    run_dir = shutil.copytree(uninterrupted_run, tmp_path / "run")
    damage(run_dir / "checkpoints" / f"{NEWEST}{ending}")
    assert run_training(run_dir) == 0
    output = capsys.readouterr().out.splitlines()
    (warning,) = [line for line in output if line.startswith("warning: ")]
    assert warning.startswith("warning: checkpoint: ") and f"{run_dir}/checkpoints/{NEWEST} is damaged" in warning
    assert f"resumed at step {STEPS - 2}" in output
    assert_equal_runs(run_dir, uninterrupted_run, STEPS)


def test_run_without_an_intact_checkpoint_is_an_error_and_is_not_changed(tmp_path, uninterrupted_run, capsys):
    run_dir = shutil.copytree(uninterrupted_run, tmp_path / "run")
    for name in (NEWEST, BEFORE):
        flip_bit(run_dir / "checkpoints" / f"{name}{DATA}")
    assert run_training(run_dir) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("sagan_tf.train: error: checkpoint: ") and f"{run_dir}/checkpoints/{NEWEST} " in line
    assert list_files(run_dir) == list_files(uninterrupted_run)
