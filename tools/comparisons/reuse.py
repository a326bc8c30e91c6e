"""Runs of other comparisons in place of cells that have the same options."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from sagan_tf.errors import UserError
from sagan_tf.runs.run_lock import InUseError, lock_file
from sagan_tf.text import read_text
from tools.comparisons.cells import Cell
from tools.comparisons.records import FINISHED, UNHEALTHY, describes_run_of, list_record_paths

REUSED_FROM = "reused_from"
"""Name of the source in the record of a cell whose run is a copy."""
_COPIED_FILES = (".log", ".evaluation.json")
_TEMPORARY_SUFFIX = ".copy"


class EndedRun(NamedTuple):
    """A run of another comparison that has finished, or that training stopped as unhealthy.

    Attributes:
        path: Path of its record.
        record: The record.
        name: The names of the cell and of the comparison: the last two parts of its directory.
    """

    path: Path
    record: Mapping[str, Any]
    name: str


def read_ended_runs(directories: Iterable[str]) -> list[EndedRun]:
    """Read the records of the runs of other comparisons that have ended.

    Args:
        directories: The directories of the comparisons.

    Raises:
        UserError: A directory has no records, or a record is damaged.
    """
    runs = []
    for directory in directories:
        paths = list_record_paths(Path(directory).expanduser().absolute())
        if not paths:
            raise UserError(f"reuse: expected a directory of a study, found no records of runs in {directory}")
        for path in paths:
            try:
                record = dict(json.loads(read_text(path)))
                name = f"{record['setting']}, seed {record['seed']}, of {'/'.join(path.parents[1].parts[-2:])}"
                if record["status"] in (FINISHED, UNHEALTHY):
                    runs.append(EndedRun(path, record, name))
            except (ValueError, TypeError, KeyError) as error:
                raise UserError(f"reuse: {path} is not a valid record of a run; remove it") from error
    return runs


def find_equal_run(cell: Cell, runs: Sequence[EndedRun]) -> EndedRun | None:
    """Find the run of another comparison that a cell can use; None for a cell that has been started.

    Its options, its seed and its number of steps or minutes are those of the cell.
    """
    if cell.path_with_suffix(".json").exists() or cell.run_dir.exists():
        return None
    return next((run for run in runs if describes_run_of(run.record, cell.describe_identity())), None)


def copy_equal_runs(cells: Iterable[Cell], runs: Sequence[EndedRun]) -> None:
    """Copy runs of other comparisons to the places of cells, and print a line for each.

    Checkpoints are hard links where the file system has them.
    """
    for cell in cells:
        run = find_equal_run(cell, runs)
        if run is None:
            continue
        cell.run_dir.parent.mkdir(parents=True, exist_ok=True)
        # A cell that another process has is skipped. Such a process may also have copied the run meanwhile.
        with contextlib.suppress(InUseError), lock_file(cell.path_with_suffix(".lock"), cell.name):
            if find_equal_run(cell, [run]):
                _copy_run(cell, run)
                print(f"{cell.name}: reused: {run.name}, which has the same options", flush=True)


def _copy_run(cell: Cell, run: EndedRun) -> None:
    """Copy a run. Its record is written last, so that an interrupted copy is not taken for a run."""
    source = run.path.with_suffix("")
    temporary = cell.path_with_suffix(_TEMPORARY_SUFFIX)
    shutil.rmtree(temporary, ignore_errors=True)
    if source.is_dir():  # A run may have ended before it created its directory.
        shutil.copytree(source, temporary, copy_function=_link_or_copy)
    for suffix in _COPIED_FILES:
        if source.with_name(source.name + suffix).is_file():
            shutil.copy2(source.with_name(source.name + suffix), cell.path_with_suffix(suffix))
    if temporary.exists():
        temporary.rename(cell.run_dir)
    cell.write_record({**run.record, "setting": cell.setting.name, REUSED_FROM: run.name})


def _link_or_copy(source: str, target: str) -> None:
    """Link a file of weights, which TensorFlow never changes, and copy any other file."""
    if ".data-" in Path(source).name:
        with contextlib.suppress(OSError):
            os.link(source, target)
            return
    shutil.copy2(source, target)
