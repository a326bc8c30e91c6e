"""Tests of runs of other studies that a cell can use, from records that are made by hand."""

from __future__ import annotations

import dataclasses
import json
import pathlib
from typing import Any

import pytest

from sagan_tf.config import Config
from sagan_tf.config.model import ModelConfig
from sagan_tf.errors import UserError
from tests.tools.ablations.toy_outcomes import write_cell
from tools.ablations.ended_runs import EndedRun, describe_unused, find_equal_run, read_ended_runs
from tools.comparisons.cells import Cell, Limit
from tools.comparisons.settings import Setting


def write_run(directory: pathlib.Path, status: str = "finished", **changes: Any) -> Cell:
    """Write a run of another study, with changes of its record."""
    cell = write_cell(directory, "attention_16", 0, [4.0, 2.0, 3.0], status)
    (cell.run_dir / "flags.cfg").touch()
    path = cell.path_with_suffix(".json")
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    return cell


def make_cell(directory: pathlib.Path, **changes: Any) -> Cell:
    cell = Cell(Setting("pooled", ()), 0, Limit(30, 0.0), (), directory, Config())
    return dataclasses.replace(cell, **changes)


def read_runs(cell: Cell) -> list[EndedRun]:
    return read_ended_runs([str(cell.directory)])


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"seed": 1}, "seed is 0 there and 1 here"),
        ({"limit": Limit(31, 0.0)}, "steps is 30 there and 31 here"),
        ({"limit": Limit(30, 5.0)}, "minutes is 0.0 there and 5.0 here"),
        (
            {"config": Config(model=ModelConfig(attention_form="paper"))},
            "attention_form is pooled there and paper here",
        ),
    ],
)
def test_a_cell_uses_only_an_equal_run_and_is_told_what_differs(
    changes: dict[str, Any], reason: str, tmp_path: pathlib.Path
) -> None:
    runs = read_runs(write_run(tmp_path / "attention"))
    same, other = make_cell(tmp_path / "form"), make_cell(tmp_path / "form", **changes)
    assert find_equal_run(same, runs) == runs[0] and find_equal_run(other, runs) is None
    assert list(describe_unused([same, other], runs)) == []
    (line,) = describe_unused([other], runs)
    assert line.endswith(f"the nearest are attention_16, seed 0, of attention, and {other.name}: {reason}")


def test_an_option_that_did_not_exist_for_the_run_has_its_default(tmp_path: pathlib.Path) -> None:
    cell = make_cell(tmp_path / "form")
    options = cell.describe_identity()["configuration"]
    del options["adam_beta1"]
    assert find_equal_run(cell, read_runs(write_run(tmp_path / "attention", configuration=options)))


@pytest.mark.parametrize(("status", "is_used"), [("unhealthy", True), ("failed", False), ("unfinished", False)])
def test_only_runs_that_have_ended_are_used(status: str, is_used: bool, tmp_path: pathlib.Path) -> None:
    runs = read_runs(write_run(tmp_path / "attention", status))
    assert (find_equal_run(make_cell(tmp_path / "form"), runs) is not None) == is_used


def test_records_without_their_run_are_not_used(tmp_path: pathlib.Path) -> None:
    """Those from an archive have the log of a run, but no flags."""
    run = write_run(tmp_path / "attention")
    (run.run_dir / "flags.cfg").unlink()
    assert read_runs(run) == []


def test_a_cell_that_has_begun_is_left_and_one_that_failed_before_is_not(tmp_path: pathlib.Path) -> None:
    runs = read_runs(write_run(tmp_path / "attention"))
    cell = make_cell(tmp_path / "form")
    cell.run_dir.parent.mkdir(parents=True)
    cell.write_record(cell.describe_identity() | {"status": "failed", "message": "error: no such data"})
    assert find_equal_run(cell, runs) == runs[0]
    cell.run_dir.mkdir()
    assert find_equal_run(cell, runs) is None


def test_the_origin_names_no_other_directory_and_stays_that_of_a_copy(tmp_path: pathlib.Path) -> None:
    def read_origin(directory: pathlib.Path, **changes: Any) -> str:
        return read_runs(write_run(directory, **changes))[0].origin

    assert read_origin(tmp_path / "alice") == "attention_16, seed 0, of alice"
    assert read_origin(tmp_path / "attention" / "base") == "attention_16, seed 0, of attention/base"
    assert read_origin(tmp_path / "alice" / "base") == "attention_16, seed 0, of base"
    assert read_origin(tmp_path / "bob", reused_from="a, seed 0, of first") == "a, seed 0, of first"
    assert read_origin(tmp_path / "eve", setting="x\nrm") == r"x\nrm, seed 0, of eve"


@pytest.mark.parametrize(
    "changes",
    [
        None,
        {"setting": 0, "seed": "x"},
        {"configuration": 5},
        {"configuration": None},
        "{",
        "[]",
        "{}",
        '{"setting": "a", "seed": 0, "configuration": {}}',
    ],
)
def test_a_directory_without_valid_records_is_an_error(changes: Any, tmp_path: pathlib.Path) -> None:
    if isinstance(changes, dict):
        write_run(tmp_path, **changes)
    elif changes:
        (tmp_path / "plain").mkdir()
        (tmp_path / "plain" / "seed_0.json").write_text(changes)
    with pytest.raises(UserError, match=r"^reuse: "):
        read_ended_runs([str(tmp_path)])
