"""Training and evaluation of a cell.

A cell that has finished, or that training stopped as unhealthy, is not run again. A cell that failed, because of a
wrong flag or a full disk, or that was interrupted, continues.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable, Mapping
from typing import IO, Any

from sagan_tf.text import read_text
from tools.comparisons.cells import Cell
from tools.comparisons.log_lock import open_locked_log
from tools.comparisons.processes import STOPPED, run_process
from tools.comparisons.records import (
    FAILED,
    FINISHED,
    READINGS,
    UNFINISHED,
    describe_failure,
    find_last_reading,
    flatten_metrics,
)
from tools.comparisons.run_files import compute_training_seconds, find_saved_step, read_num_replicas, read_run_records
from tools.machine import describe_origin

_THEN = ", then "
_UNKNOWN = "not recorded"


def run_cell(cell: Cell) -> dict[str, Any]:
    """Train and evaluate a cell, unless its record shows that this has been done.

    Returns:
        The record of the cell.

    Raises:
        UserError: The record is damaged, or has another configuration or another limit.
    """
    record = cell.read_record()
    if record is None or record["status"] in (UNFINISHED, FAILED):
        before = record or {"cpu_seconds": 0.0}
        record = cell.describe_identity() | {"status": UNFINISHED, "cpu_seconds": before["cpu_seconds"]}
        record |= _describe_origin(cell, before)
        cell.run_dir.parent.mkdir(parents=True, exist_ok=True)
        with open_locked_log(cell.path_with_suffix(".log"), cell.run_dir, cell.name) as log:
            cell.write_record(record)
            record |= _train_and_evaluate(cell, record, log)
            ended = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
            record |= {"replicas": read_num_replicas(cell.run_dir), "ended": ended}
            cell.write_record(record)  # Before the lock ends: without it, the cell would seem to be interrupted.
    return record


def _describe_origin(cell: Cell, before: Mapping[str, Any]) -> dict[str, str]:
    """Describe the machine and the commit, after those of earlier starts if the run continues from a checkpoint."""
    origin = describe_origin()
    if not find_saved_step(cell.run_dir):
        return origin
    names = [name for name in ("machine", "git_revision") if name in origin or name in before]
    return {name: _join(before.get(name, _UNKNOWN), origin.get(name, _UNKNOWN)) for name in names}


def _join(before: str, now: str) -> str:
    return before if before.split(_THEN)[-1] == now else f"{before}{_THEN}{now}"


def _train_and_evaluate(cell: Cell, record: dict[str, Any], log: IO[bytes]) -> dict[str, Any]:
    if not _is_trained(cell):
        command = cell.create_train_command()
        status, cpu_seconds, output = _run_command(cell, command, log, _create_stop_condition(cell))
        record["cpu_seconds"] += cpu_seconds
        cell.write_record(record)
        if status not in (0, STOPPED):
            return describe_failure(status, output)
    status, _, output = _run_command(cell, cell.create_evaluate_command(), log)
    if status:
        return describe_failure(status, output)
    evaluation = json.loads(read_text(cell.path_with_suffix(".evaluation.json")))
    return {"status": FINISHED} | _collect_results(cell, evaluation)


def _run_command(
    cell: Cell, command: list[str], log: IO[bytes], is_over: Callable[[], bool] | None = None
) -> tuple[int, float, str]:
    """Run a command; return its exit status, CPU seconds and output."""
    path = cell.path_with_suffix(".log")
    written_before = path.stat().st_size
    status, cpu_seconds = run_process(command, log, is_over)
    return status, cpu_seconds, path.read_bytes()[written_before:].decode(errors="replace")


def _collect_results(cell: Cell, evaluation: Mapping[str, Any]) -> dict[str, Any]:
    records = read_run_records(cell.run_dir)
    trained = [record for record in records if record["kind"] == "train"]
    images_per_step = round(trained[-1]["images_per_second"] / trained[-1]["steps_per_second"])
    return {
        "step": evaluation["step"],
        "images_seen": evaluation["step"] * images_per_step,
        "training_seconds": _compute_training_seconds(cell),
        **{name: find_last_reading(records, reading.scalar) for name, reading in READINGS.items()},
        "values": flatten_metrics(evaluation),
        "worst_class": next(iter(evaluation.get("worst_class", {}).values()), None),
    }


def _create_stop_condition(cell: Cell) -> Callable[[], bool]:
    """Create a function that returns whether training should be stopped.

    It returns False until the process has written records: older ones may belong to steps that were lost.
    """
    path = cell.run_dir / "metrics.jsonl"

    def modified() -> int:
        return path.stat().st_mtime_ns if path.exists() else 0

    before = modified()
    return lambda: modified() != before and _is_over(cell)


def _is_over(cell: Cell) -> bool:
    return bool(cell.limit.minutes) and _compute_training_seconds(cell) >= 60.0 * cell.limit.minutes


def _is_trained(cell: Cell) -> bool:
    """Return whether training has reached its minutes and has been saved.

    This is so if the comparison was interrupted during the evaluation.
    """
    records = read_run_records(cell.run_dir)
    return _is_over(cell) and find_saved_step(cell.run_dir) >= records[-1]["step"]


def _compute_training_seconds(cell: Cell) -> float:
    return compute_training_seconds(cell.run_dir, cell.path_with_suffix(".log"))
