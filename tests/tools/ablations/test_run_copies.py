"""Tests of copies of runs of other studies, of copies that are interrupted, and of runs that cannot be copied."""

from __future__ import annotations

import json
import os
import pathlib
import shutil

import pytest

from sagan_tf.errors import UserError
from sagan_tf.runs.run_lock import lock_file
from tests.tools.ablations.test_ended_runs import make_cell, read_runs, write_run
from tests.tools.ablations.toy_outcomes import write_cell
from tools.ablations.run_copies import copy_equal_runs, discard_incomplete_copies
from tools.comparisons.cells import Cell
from tools.comparisons.execution import run_cells

WEIGHTS = pathlib.Path("checkpoints", "step-30.data-00000-of-00001")
ORIGIN = "attention_16, seed 0, of attention"


@pytest.fixture
def source(tmp_path: pathlib.Path) -> Cell:
    """Return a cell of another study that has finished, with a checkpoint."""
    cell = write_run(tmp_path / "attention")
    (cell.run_dir / "checkpoints").mkdir()
    for name in ("step-30.index", WEIGHTS.name):
        (cell.run_dir / "checkpoints" / name).write_text("weights")
    cell.path_with_suffix(".log").write_text("resumed at step 20\n")
    cell.path_with_suffix(".evaluation.json").write_text("{}")
    return cell


@pytest.fixture
def cell(tmp_path: pathlib.Path) -> Cell:
    """Return a cell with the options of the run."""
    return make_cell(tmp_path / "form")


def read_files(cell: Cell) -> dict[str, str]:
    """Return the contents of the files of a cell, without its record and its lock."""
    files = {path.relative_to(cell.run_dir.parent).as_posix(): path for path in cell.run_dir.parent.rglob("*")}
    others = ("seed_0.json", "seed_0.lock")
    return {name: path.read_text() for name, path in files.items() if path.is_file() and name not in others}


def test_a_copy_has_the_files_and_the_record_of_the_run_and_its_origin(
    source: Cell, cell: Cell, capsys: pytest.CaptureFixture[str]
) -> None:
    copy_equal_runs([cell], read_runs(source))
    assert capsys.readouterr().out == f"pooled, seed 0: reused: {ORIGIN}, which has the same options\n"
    record = source.read_record()
    assert record is not None and cell.read_record() == record | {"setting": "pooled", "reused_from": ORIGIN}
    assert read_files(cell) == read_files(source) and len(read_files(cell)) == 6
    assert not cell.path_with_suffix(".copy").exists()
    assert run_cells([cell], "") == [cell] and read_files(cell) == read_files(source)


def test_only_weights_are_shared_with_the_source(source: Cell, cell: Cell) -> None:
    copy_equal_runs([cell], read_runs(source))
    before = read_files(source)
    with (cell.run_dir / "metrics.jsonl").open("a") as file:
        file.write("more\n")
    assert read_files(source) == before and (source.run_dir / WEIGHTS).samefile(cell.run_dir / WEIGHTS)


def test_weights_are_copied_if_they_cannot_be_linked(source: Cell, cell: Cell, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: str) -> None:
        raise OSError("cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    copy_equal_runs([cell], read_runs(source))
    assert read_files(cell) == read_files(source)
    assert not (source.run_dir / WEIGHTS).samefile(cell.run_dir / WEIGHTS)


def test_a_cell_of_another_process_is_left(source: Cell, cell: Cell, monkeypatch: pytest.MonkeyPatch) -> None:
    cell.run_dir.parent.mkdir(parents=True)
    with lock_file(cell.path_with_suffix(".lock"), cell.name):
        copy_equal_runs([cell], read_runs(source))
    assert cell.read_record() is None and read_files(cell) == {}

    def begin(*arguments: object) -> object:
        cell.write_record(cell.describe_identity() | {"status": "finished", "machine": "other"})
        return lock_file(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr("tools.ablations.run_copies.lock_file", begin)
    copy_equal_runs([cell], read_runs(source))
    record = cell.read_record()
    assert record is not None and record["machine"] == "other" and read_files(cell) == {}


@pytest.mark.parametrize("stop", ["shutil.copytree", "pathlib.Path.replace", "pathlib.Path.rename", "write_record"])
@pytest.mark.parametrize("is_killed", [False, True])
def test_nothing_remains_of_an_interrupted_copy(
    stop: str, is_killed: bool, source: Cell, cell: Cell, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    name = f"{Cell.__module__}.Cell.write_record" if stop == "write_record" else stop
    with monkeypatch.context() as patch:
        patch.setattr(name, interrupt)
        if is_killed:
            patch.setattr("tools.ablations.run_copies._discard", lambda _: None)
        with pytest.raises(KeyboardInterrupt):
            copy_equal_runs([cell], read_runs(source))
    discard_incomplete_copies([cell])
    assert read_files(cell) == {} and cell.read_record() is None and not cell.run_dir.exists()
    copy_equal_runs([cell], read_runs(source))
    assert read_files(cell) == read_files(source)


def test_a_copy_that_was_killed_at_its_very_end_is_kept(source: Cell, cell: Cell) -> None:
    copy_equal_runs([cell], read_runs(source))
    cell.path_with_suffix(".copy").mkdir()
    discard_incomplete_copies([cell])
    assert read_files(cell) == read_files(source) and not cell.path_with_suffix(".copy").exists()


@pytest.mark.parametrize("status", ["finished", "unfinished"])
def test_a_run_that_the_cell_trained_itself_is_kept(status: str, cell: Cell) -> None:
    """It is beside the directory of a copy whose process was killed before it wrote the record."""
    write_cell(cell.directory, "pooled", 0, [4.0, 2.0, 3.0], status)
    before = read_files(cell)
    cell.path_with_suffix(".copy").mkdir()
    discard_incomplete_copies([cell])
    assert read_files(cell) == before and not cell.path_with_suffix(".copy").exists()


def test_a_copy_replaces_the_record_of_a_start_that_failed(
    source: Cell, cell: Cell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise, a copy whose process is killed would seem to be a run with the flags of that start."""
    cell.run_dir.parent.mkdir(parents=True)
    cell.write_record(cell.describe_identity() | {"status": "failed", "flags": ["--other"], "message": "error: x"})
    with monkeypatch.context() as patch:
        patch.setattr("tools.ablations.run_copies._discard", lambda _: None)
        patch.setattr(f"{Cell.__module__}.Cell.write_record", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            copy_equal_runs([cell], read_runs(source))
    assert cell.run_dir.exists()
    discard_incomplete_copies([cell])
    assert not cell.run_dir.exists() and cell.read_record() is None


def test_nothing_is_trained_beside_a_copy_that_cannot_be_removed(cell: Cell, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next start of the command would take the run for the copy, and remove it."""

    def refuse(path: pathlib.Path, **_: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    cell.path_with_suffix(".copy").mkdir(parents=True)
    monkeypatch.setattr(shutil, "rmtree", refuse)
    with pytest.raises(UserError, match=r"reuse: .*seed_0\.copy, .*cannot be removed: .*Permission denied"):
        discard_incomplete_copies([cell])


def test_a_run_that_cannot_be_copied_or_that_changes_is_not_used(
    source: Cell, cell: Cell, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = read_runs(source)
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "copy2", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
        copy_equal_runs([cell], runs)
    assert "it cannot be copied: [Errno 28] No space left" in capsys.readouterr().out
    assert cell.read_record() is None and read_files(cell) == {}
    record = json.loads(source.path_with_suffix(".json").read_text())
    source.write_record(record | {"status": "unfinished"})
    copy_equal_runs([cell], runs)
    assert "it has changed" in capsys.readouterr().out
    assert cell.read_record() is None and read_files(cell) == {}
