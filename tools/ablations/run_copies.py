"""Copies of runs of other studies in place of cells."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path

from sagan_tf.errors import UserError
from sagan_tf.runs.run_lock import InUseError, lock_file
from sagan_tf.text import read_text
from tools.ablations.ended_runs import REUSED_FROM, EndedRun, find_equal_run
from tools.comparisons.cells import Cell
from tools.comparisons.processes import exit_on_sigterm

_SUFFIXES = (".log", ".evaluation.json")
"""Ends of the names of the files that are copied beside the directory of a run."""
_COPY = ".copy"
"""End of the name of the directory in which a copy is made. While it exists, the copy is incomplete."""


def copy_equal_runs(cells: Iterable[Cell], runs: Sequence[EndedRun]) -> None:
    """Copy runs of other studies to the places of cells, and print a line for each.

    Files of weights are hard links where the file system can link them. A run that cannot be copied is not used.

    Raises:
        UserError: The record of a cell is damaged, or has another configuration or other steps; or what is left of a
            copy cannot be removed.
    """
    with exit_on_sigterm():
        for cell in cells:
            run = find_equal_run(cell, runs)
            if run is None:
                continue
            cell.run_dir.parent.mkdir(parents=True, exist_ok=True)
            # A cell that another process has is skipped. Such a process may also have copied the run meanwhile.
            with contextlib.suppress(InUseError), lock_file(cell.path_with_suffix(".lock"), cell.name):
                if find_equal_run(cell, [run]):
                    print(f"{cell.name}: {_try_to_copy(cell, run)}", flush=True)


def _try_to_copy(cell: Cell, run: EndedRun) -> str:
    """Copy a run, and return a few words about the outcome. Without success, nothing of the copy remains."""
    try:
        _copy_run(cell, run)
        if json.loads(read_text(run.path)) == run.record:
            cell.write_record({**run.record, "setting": cell.setting.name, REUSED_FROM: run.origin})
            return f"reused: {run.origin}, which has the same options"
        reason = "it has changed"
    except (OSError, UserError) as error:
        first = error.args[0][0][2] if isinstance(error, shutil.Error) else error
        reason = f"it cannot be copied: {first}"
    finally:
        _discard(cell)
    return f"trained, and not reused from {run.path.with_suffix('')}: {reason}"


def _copy_run(cell: Cell, run: EndedRun) -> None:
    """Copy a run and the files beside it into a temporary directory, and then move them to their places.

    The record of a start that failed before training began is removed first: a cell with a record has no incomplete
    copy.
    """
    source, copy = run.path.with_suffix(""), cell.path_with_suffix(_COPY)
    cell.path_with_suffix(".json").unlink(missing_ok=True)
    shutil.copytree(source, copy / source.name, copy_function=_link_or_copy)
    for suffix in _SUFFIXES:
        if source.with_name(source.name + suffix).is_file():
            shutil.copy2(source.with_name(source.name + suffix), copy / suffix)
    for suffix in _SUFFIXES:
        if (copy / suffix).exists():
            (copy / suffix).replace(cell.path_with_suffix(suffix))
    (copy / source.name).rename(cell.run_dir)


def _link_or_copy(source: str, target: str) -> None:
    """Link a file of weights, which TensorFlow never changes, and copy any other file."""
    if ".data-" in Path(source).name:
        with contextlib.suppress(OSError):
            os.link(source, target)
            return
    shutil.copy2(source, target)


def discard_incomplete_copies(cells: Iterable[Cell]) -> None:
    """Remove what is left of copies whose process was killed. Those that another process is making stay.

    Raises:
        UserError: What is left of a copy cannot be removed.
    """
    for cell in cells:
        if cell.path_with_suffix(_COPY).exists():
            with contextlib.suppress(InUseError), lock_file(cell.path_with_suffix(".lock"), cell.name):
                _discard(cell)


def _discard(cell: Cell) -> None:
    """Remove an incomplete copy. If the cell has a record, only the temporary directory is left of the copy.

    The temporary directory is removed last. Training must not begin beside it: the run would be taken for a copy.
    """
    copy = cell.path_with_suffix(_COPY)
    if not copy.exists():
        return
    try:
        if not cell.path_with_suffix(".json").exists():
            if cell.run_dir.exists():
                shutil.rmtree(cell.run_dir)
            for suffix in _SUFFIXES:
                cell.path_with_suffix(suffix).unlink(missing_ok=True)
        shutil.rmtree(copy)
    except OSError as error:
        raise UserError(
            f"reuse: {copy}, which is left of a copy of a run, cannot be removed: {error}; remove it and {cell.run_dir}"
        ) from error
