"""Tests of cells that get a copy of a run of another comparison, from records that are made by hand."""

from __future__ import annotations

import dataclasses
import json
import pathlib
from typing import Any

import pytest

from sagan_tf.config import Config
from sagan_tf.config.model import ModelConfig
from sagan_tf.errors import UserError
from sagan_tf.runs.run_lock import lock_file
from tests.tools.ablations.toy_outcomes import write_cell
from tools.comparisons import reuse
from tools.comparisons.cells import Cell, Limit
from tools.comparisons.execution import run_cells
from tools.comparisons.reuse import copy_equal_runs, find_equal_run, read_ended_runs
from tools.comparisons.settings import Setting


@pytest.fixture
def source(tmp_path: pathlib.Path) -> Cell:
    """Return a cell of another comparison that has finished, with a checkpoint."""
    cell = write_cell(tmp_path / "attention" / "base", "attention_16", 0, [4.0, 2.0, 3.0])
    (cell.run_dir / "checkpoints").mkdir()
    for name in ("step-30.index", "step-30.data-00000-of-00001"):
        (cell.run_dir / "checkpoints" / name).write_text("weights")
    cell.path_with_suffix(".log").write_text("resumed at step 20\n")
    cell.path_with_suffix(".evaluation.json").write_text("{}")
    return cell


def make_cell(tmp_path: pathlib.Path, **changes: Any) -> Cell:
    cell = Cell(Setting("pooled", ()), 0, Limit(30, 0.0), (), tmp_path / "form" / "base", Config())
    return dataclasses.replace(cell, **changes)


def read_runs(source: Cell) -> list[reuse.EndedRun]:
    return read_ended_runs([str(source.directory)])


def test_a_copy_has_the_files_and_the_record_of_the_run_and_names_it(source: Cell, tmp_path: pathlib.Path, capsys):
    cell = make_cell(tmp_path)
    copy_equal_runs([cell], read_runs(source))
    name = "attention_16, seed 0, of attention/base"
    assert capsys.readouterr().out == f"pooled, seed 0: reused: {name}, which has the same options\n"
    record = json.loads(source.path_with_suffix(".json").read_text())
    assert cell.read_record() == record | {"setting": "pooled", "reused_from": name}
    files = {path.relative_to(source.run_dir): path.read_text() for path in source.run_dir.rglob("*") if path.is_file()}
    copies = {path.relative_to(cell.run_dir): path.read_text() for path in cell.run_dir.rglob("*") if path.is_file()}
    assert copies == files and len(files) == 3
    assert cell.path_with_suffix(".log").read_text() == "resumed at step 20\n"
    assert {path.name for path in cell.run_dir.parent.iterdir()} == {
        "seed_0", "seed_0.json", "seed_0.log", "seed_0.lock", "seed_0.evaluation.json",
    }  # fmt: skip
    assert run_cells([cell], "") == [cell] and cell.read_record() == record | {"setting": "pooled", "reused_from": name}


def test_only_weights_are_shared_with_the_source(source: Cell, tmp_path: pathlib.Path) -> None:
    cell = make_cell(tmp_path)
    copy_equal_runs([cell], read_runs(source))
    before = (source.run_dir / "metrics.jsonl").read_text()
    with (cell.run_dir / "metrics.jsonl").open("a") as file:
        file.write("more\n")
    assert (source.run_dir / "metrics.jsonl").read_text() == before
    weights = "checkpoints/step-30.data-00000-of-00001"
    assert (source.run_dir / weights).samefile(cell.run_dir / weights)


def test_weights_are_copied_if_they_cannot_be_linked(source: Cell, tmp_path: pathlib.Path, monkeypatch) -> None:
    def refuse(*_: str) -> None:
        raise OSError("cross-device link")

    monkeypatch.setattr(reuse.os, "link", refuse)
    cell = make_cell(tmp_path)
    copy_equal_runs([cell], read_runs(source))
    weights = cell.run_dir / "checkpoints" / "step-30.data-00000-of-00001"
    assert weights.read_text() == "weights" and weights.stat().st_nlink == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"seed": 1},
        {"limit": Limit(31, 0.0)},
        {"limit": Limit(0, 30.0)},
        {"config": Config(model=ModelConfig(attention_form="paper"))},
    ],
    ids=["seed", "steps", "minutes", "option"],
)
def test_another_cell_does_not_use_the_run(changes: dict[str, Any], source: Cell, tmp_path: pathlib.Path) -> None:
    assert find_equal_run(make_cell(tmp_path, **changes), read_runs(source)) is None
    assert find_equal_run(make_cell(tmp_path), read_runs(source)) is not None


@pytest.mark.parametrize(("status", "is_used"), [("unhealthy", True), ("failed", False), ("unfinished", False)])
def test_runs_that_have_ended_are_used(status: str, is_used: bool, tmp_path: pathlib.Path) -> None:
    other = write_cell(tmp_path / "attention" / "base", "attention_16", 0, [4.0, 2.0, 3.0], status)
    assert (find_equal_run(make_cell(tmp_path), read_runs(other)) is not None) == is_used


def test_a_cell_that_has_been_started_or_that_another_process_has_is_left(source: Cell, tmp_path: pathlib.Path) -> None:
    cell = make_cell(tmp_path)
    cell.run_dir.mkdir(parents=True)
    copy_equal_runs([cell], read_runs(source))
    assert cell.read_record() is None
    cell.run_dir.rmdir()
    with lock_file(cell.path_with_suffix(".lock"), cell.name):
        copy_equal_runs([cell], read_runs(source))
    assert cell.read_record() is None and not cell.run_dir.exists()


def test_an_interrupted_copy_is_made_again(source: Cell, tmp_path: pathlib.Path, monkeypatch) -> None:
    cell = make_cell(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(pathlib.Path, "rename", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            copy_equal_runs([cell], read_runs(source))
    assert cell.read_record() is None and not cell.run_dir.exists()
    copy_equal_runs([cell], read_runs(source))
    assert cell.read_record() is not None and (cell.run_dir / "metrics.jsonl").is_file()


def test_a_run_that_ended_before_its_directory_was_created_is_copied(tmp_path: pathlib.Path) -> None:
    other = write_cell(tmp_path / "attention" / "base", "attention_16", 0, [], "unhealthy")
    (other.run_dir / "metrics.jsonl").unlink()
    other.run_dir.rmdir()
    cell = make_cell(tmp_path)
    copy_equal_runs([cell], read_runs(other))
    record = cell.read_record()
    assert record is not None and record["status"] == "unhealthy" and not cell.run_dir.exists()


@pytest.mark.parametrize("content", [None, "{", "[]", '{"status": "finished"}'])
def test_a_directory_without_valid_records_is_an_error(content: str | None, tmp_path: pathlib.Path) -> None:
    (tmp_path / "plain").mkdir()
    if content is not None:
        (tmp_path / "plain" / "seed_0.json").write_text(content)
    with pytest.raises(UserError, match=r"^reuse: "):
        read_ended_runs([str(tmp_path)])
