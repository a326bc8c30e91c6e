"""Status of a cell that has not ended: whether a process trains or evaluates it, and the step that it has reached."""

from __future__ import annotations

from typing import Any

from tools.comparisons.cells import Cell
from tools.comparisons.log_lock import is_log_locked
from tools.comparisons.records import FINISHED, NOT_STARTED, RUNNING, UNFINISHED, UNHEALTHY
from tools.comparisons.run_files import find_saved_step, read_run_records


def read_current_record(cell: Cell) -> dict[str, Any]:
    """Read the record of a cell, with its status at this moment.

    Args:
        cell: The cell.

    Returns:
        The record. `RUNNING` replaces its status if a process trains or evaluates the cell. On systems and file systems
        without locks, this is not known, and the message says so. Without a record, it has only the name of the
        setting, the seed and the status.

    Raises:
        UserError: The record is damaged, or has another configuration or another limit.
    """
    record = _read_record(cell)
    while record["status"] not in (FINISHED, UNHEALTHY):
        is_locked = is_log_locked(cell.path_with_suffix(".log"))
        before, record = record, _read_record(cell)
        if record == before:  # Otherwise, the cell began or ended in between.
            return record | _describe_state(cell, record, is_locked=is_locked)
    return record


def _read_record(cell: Cell) -> dict[str, Any]:
    return cell.read_record() or {"setting": cell.setting.name, "seed": cell.seed, "status": NOT_STARTED}


def _describe_state(cell: Cell, record: dict[str, Any], *, is_locked: bool | None) -> dict[str, str]:
    """Return the values that replace those of the record of a cell that has not ended."""
    lines = read_run_records(cell.run_dir)
    reached = f"at step {lines[-1]['step'] if lines else 0}"
    if is_locked:
        return {"status": RUNNING, "message": reached}
    if record["status"] != UNFINISHED or "message" in record:
        return {}
    if is_locked is None:
        return {"message": f"{reached} (it may be running: there are no file locks here)"}
    return {"message": f"interrupted at step {find_saved_step(cell.run_dir)}"}
