"""Status of a cell while it is trained, and after its process was killed."""

import errno
import os
import pathlib
import sys
import types
from typing import Any

import pytest

from sagan_tf.files import write_atomically
from tests.tools.comparisons.toy_cells import make_cells, read_events, start_cells, wait_for_step
from tests.waiting import wait_until
from tools.comparisons import cell_runs, log_lock, progress
from tools.comparisons import cells as cells_module
from tools.comparisons.cell_runs import run_cell
from tools.comparisons.log_lock import is_log_locked
from tools.comparisons.progress import read_current_record


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child that its parent has ended")
def test_status_of_a_cell_whose_process_is_killed(tmp_path: pathlib.Path):
    cells = make_cells(tmp_path, "plain")

    def read() -> tuple[str, str]:
        record = read_current_record(cells[0])
        return record["status"], record.get("message", "")

    assert read() == ("not started", "")
    for name in ("hold", "full"):
        (tmp_path / name).touch()
    process = start_cells(tmp_path, "plain")
    wait_for_step(cells[0])
    wait_until(lambda: read() == ("running", "at step 1"), seconds=20)
    process.kill()
    process.communicate()
    assert read()[0] == "running"  # It saves.
    (tmp_path / "full").unlink()
    wait_until(lambda: read()[0] != "running", seconds=20)
    assert read() == ("unfinished", "interrupted at step 1") and read_events(tmp_path)[-1] == "plain saved"
    (tmp_path / "fail").touch()
    (tmp_path / "hold").unlink()
    start_cells(tmp_path, "plain").communicate(timeout=20)
    assert read()[0] == "failed"


def test_a_cell_that_ends_while_its_status_is_read_has_finished(tmp_path: pathlib.Path, monkeypatch):
    (cell,) = make_cells(tmp_path, "plain")
    locked_at_writes = []

    def write(path: pathlib.Path, text: str) -> None:
        locked_at_writes.append(is_log_locked(cell.path_with_suffix(".log")))
        write_atomically(path, text)

    def end_before(log: pathlib.Path) -> Any:
        run_cell(cell)
        return is_log_locked(log)

    monkeypatch.setattr(cells_module, "write_atomically", write)
    monkeypatch.setattr(progress, "is_log_locked", end_before)
    assert read_current_record(cell)["status"] == "finished"
    assert len(locked_at_writes) > 1 and all(locked_at_writes)


@pytest.mark.parametrize("has_module", [True, False])
def test_without_locks_a_cell_is_unfinished_and_not_interrupted(has_module, tmp_path: pathlib.Path, monkeypatch):
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    def read_while_running(*_: object) -> tuple[int, float]:
        seen.append(read_current_record(cell))
        return 2, 0.0

    (cell,) = make_cells(tmp_path, "plain")
    seen: list[dict[str, Any]] = []
    without_locks = types.SimpleNamespace(LOCK_SH=1, LOCK_EX=2, LOCK_NB=4, flock=refuse) if has_module else None
    monkeypatch.setattr(log_lock, "fcntl", without_locks)
    monkeypatch.setattr(cell_runs, "run_process", read_while_running)
    assert read_current_record(cell)["status"] == "not started"
    cell.run_dir.mkdir(parents=True)
    (cell.run_dir / "metrics.jsonl").write_text('{"kind": "train", "step": 3}\n')
    run_cell(cell)
    assert seen[0]["status"] == "unfinished" and seen[0]["message"].startswith("at step 3 ")
    assert read_current_record(cell)["status"] == "failed"
