"""Status of a cell that has not ended: whether a process trains or evaluates it, and the step that it has reached."""

from __future__ import annotations

from typing import Any

from tools.comparisons.cells import Cell
from tools.comparisons.log_lock import is_log_locked
from tools.comparisons.records import (
    FINISHED,
    NOT_STARTED,
    RUNNING,
    UNFINISHED,
    UNHEALTHY,
    find_saved_step,
    read_run_records,
)


def read_current_record(cell: Cell) -> dict[str, Any]:
    """Read the record of a cell, with its status at this moment.

    Args:
        cell: The cell.

    Returns:
        The record. `RUNNING` replaces its status if a process trains or evaluates the cell. Without a record, it has
        only the name of the setting, the seed and the status.

    Raises:
        UserError: The record is damaged, or has another configuration or another limit.
    """
    record = cell.read_record() or {"setting": cell.setting.name, "seed": cell.seed, "status": NOT_STARTED}
    if record["status"] in (FINISHED, UNHEALTHY):
        return record
    if is_log_locked(cell.path_with_suffix(".log")):
        lines = read_run_records(cell.run_dir)
        return record | {"status": RUNNING, "message": f"at step {lines[-1]['step'] if lines else 0}"}
    if record["status"] == UNFINISHED and "message" not in record:
        return record | {"message": f"interrupted at step {find_saved_step(cell.run_dir)}"}
    return record
