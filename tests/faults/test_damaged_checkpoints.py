"""A run whose checkpoints were cut off, changed or removed in part goes on from the one before, to the same end."""

from __future__ import annotations

import pathlib
import shutil
from collections.abc import Callable

import pytest

from tests.faults.outcomes import assert_same, files
from tests.faults.short_run import STEPS, run

NEWEST, BEFORE = f"step-{STEPS}", f"step-{STEPS - 2}"
DATA = ".data-00000-of-00001"


def cut(path: pathlib.Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip(path: pathlib.Path) -> None:
    """One bit of one value."""
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 1
    path.write_bytes(content)


def empty(path: pathlib.Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize(
    ("damage", "ending"),
    [
        (flip, DATA),
        pytest.param(cut, DATA, marks=pytest.mark.slow),
        pytest.param(cut, ".index", marks=pytest.mark.slow),
        pytest.param(empty, ".index", marks=pytest.mark.slow),
        pytest.param(pathlib.Path.unlink, ".index", marks=pytest.mark.slow),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_the_one_before_is_taken(
    damage: Callable[[pathlib.Path], None],
    ending: str,
    tmp_path: pathlib.Path,
    whole: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run_dir = shutil.copytree(whole, tmp_path / "run")
    damage(run_dir / "checkpoints" / f"{NEWEST}{ending}")
    assert run(run_dir) == 0
    said = capsys.readouterr().out.splitlines()
    (warning,) = [line for line in said if line.startswith("warning: ")]
    assert warning.startswith(f"warning: checkpoint: expected an intact one, received {run_dir}/checkpoints/{NEWEST} (")
    assert f"resumed at step {STEPS - 2}" in said
    assert_same(run_dir, whole, STEPS)


def test_no_intact_one_is_a_line_and_changes_nothing(
    tmp_path: pathlib.Path, whole: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_dir = shutil.copytree(whole, tmp_path / "run")
    for name in (NEWEST, BEFORE):
        flip(run_dir / "checkpoints" / f"{name}{DATA}")
    assert run(run_dir) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(
        f"sagan_tf.train: error: checkpoint: expected an intact one, received {run_dir}/checkpoints/"
    )
    assert files(run_dir) == files(whole)
