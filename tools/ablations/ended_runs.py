"""Runs of other studies that have ended, and the cells that can use them because they have the same options."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from sagan_tf.errors import UserError
from sagan_tf.runs.run_directory import RunDirectory
from sagan_tf.text import make_printable, read_text
from tools.ablations.studies import list_packaged_studies
from tools.comparisons.cells import Cell
from tools.comparisons.records import FINISHED, UNHEALTHY, find_differences, has_begun, list_record_paths

REUSED_FROM = "reused_from"
"""Name of the value in the record of a copied run that says where it was trained."""
_COMPARED = ("seed", "steps", "minutes")


class EndedRun(NamedTuple):
    """A run of another study that has finished, or that training stopped as unhealthy.

    Attributes:
        path: Path of its record.
        record: The record.
        origin: The setting, the seed and the study for which it was trained.
    """

    path: Path
    record: Mapping[str, Any]
    origin: str


def read_ended_runs(directories: Iterable[str]) -> list[EndedRun]:
    """Read the records of the runs of other studies that have ended and whose run directories are there.

    Args:
        directories: The directories of the studies.

    Raises:
        UserError: A directory has no records, or a record is damaged.
    """
    runs = []
    for directory in directories:
        paths = list_record_paths(Path(directory).expanduser().absolute())
        if not paths:
            raise UserError(
                f"reuse: expected records of runs, found none in {directory}; give the --run_dir of a study"
            )
        for path in paths:
            try:
                record = dict(json.loads(read_text(path)))
                record["configuration"] = dict(record["configuration"])
                run, status = EndedRun(path, record, _name_origin(path, record)), record["status"]
            except (ValueError, TypeError, KeyError) as error:
                raise UserError(
                    f"reuse: {path} is not a valid record of a run; repair it, or leave out its directory"
                ) from error
            # Records from an archive have no run.
            if status in (FINISHED, UNHEALTHY) and RunDirectory(path.with_suffix("")).flags.is_file():
                runs.append(run)
    return runs


def _name_origin(path: Path, record: Mapping[str, Any]) -> str:
    """Return the setting, the seed and the study of a run, without other directories, as a page may be published."""
    directory = path.parents[1]
    has_default_name = directory.parent.name in list_packaged_studies()
    study = f"{directory.parent.name}/{directory.name}" if has_default_name else directory.name
    origin = record.get(REUSED_FROM) or f"{record['setting']}, seed {int(record['seed'])}, of {study}"
    return make_printable(str(origin))


def find_equal_run(cell: Cell, runs: Sequence[EndedRun]) -> EndedRun | None:
    """Find a run with the options, the seed and the number of steps or minutes of a cell.

    Returns:
        The run, or None if no run is equal or if training of the cell has already begun.

    Raises:
        UserError: The record of the cell is damaged, or has another configuration or other steps.
    """
    if has_begun(cell.read_record(), cell.run_dir):
        return None
    identity = cell.describe_identity()
    return next((run for run in runs if not any(find_differences(run.record, identity, _COMPARED))), None)


def find_origin(cell: Cell) -> str | None:
    """Return where the copied run of a cell was trained; None for a cell without a copy.

    Raises:
        UserError: The record of the cell is damaged, or has another configuration or other steps.
    """
    record = cell.read_record()
    return record.get(REUSED_FROM) if record else None


def describe_unused(cells: Sequence[Cell], runs: Sequence[EndedRun]) -> Iterator[str]:
    """Yield a line for each other study of which no cell uses a run, with the nearest run and what differs.

    Raises:
        UserError: The record of a cell is damaged, or has another configuration or other steps.
    """
    used = {run.path.parents[1] for cell in cells if (run := find_equal_run(cell, runs))}
    origins = {find_origin(cell) for cell in cells}
    for directory in dict.fromkeys(run.path.parents[1] for run in runs):
        study_runs = [run for run in runs if run.path.parents[1] == directory]
        if directory in used or any(run.origin in origins for run in study_runs):
            continue
        candidates = [
            (list(find_differences(run.record, cell.describe_identity(), _COMPARED)), run, cell)
            for run in study_runs
            for cell in cells
        ]
        differences, run, cell = min(candidates, key=lambda candidate: len(candidate[0]))
        texts = [f"{name} is {there} there and {here} here" for name, here, there in differences]
        reason = "; ".join(texts) if texts else "training of the cell has already begun"
        yield f"no cell can use a run of {directory}; the nearest are {run.origin}, and {cell.name}: {reason}"
