"""Cells whose process is killed while the process that trains saves and ends."""

import json
import pathlib
import signal
import sys

import pytest

from sagan_tf.runs.run_lock import LOCK_FILE
from tests.tools.comparisons.toy_cells import STEPS, make_cells, read_events, start_cells, wait_for_step
from tools.comparisons.log_lock import is_log_locked, open_locked_log

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child that its parent has ended")


def test_a_cell_is_resumed_after_its_process_was_killed(tmp_path: pathlib.Path):
    (cell,) = make_cells(tmp_path, "plain")
    for name in ("hold", "full"):
        (tmp_path / name).touch()
    killed = start_cells(tmp_path, "plain")
    wait_for_step(cell)
    killed.kill()
    killed.communicate()
    (tmp_path / "hold").unlink()
    resumed = start_cells(tmp_path, "plain")
    owner = json.loads((cell.run_dir / LOCK_FILE).read_text())["pid"]
    assert resumed.stdout is not None and f"kill {owner} on" in resumed.stdout.readline()
    assert is_log_locked(cell.path_with_suffix(".log")) and read_events(tmp_path) == ["plain began at 0"]
    (tmp_path / "full").unlink()
    assert "plain, seed 0: 4 steps" in resumed.communicate(timeout=20)[0]
    assert read_events(tmp_path)[:3] == ["plain began at 0", "plain saved", "plain began at 1"]
    assert read_events(tmp_path)[3:] == ["plain trained", "plain evaluated"]
    record = json.loads(cell.path_with_suffix(".json").read_text())
    assert record["status"] == "finished" and record["step"] == STEPS
    assert not is_log_locked(cell.path_with_suffix(".log"))


def test_a_process_that_waits_can_be_stopped(tmp_path: pathlib.Path):
    (cell,) = make_cells(tmp_path, "plain")
    cell.run_dir.parent.mkdir()
    with open_locked_log(cell.path_with_suffix(".log"), cell.run_dir, cell.name):
        waiting = start_cells(tmp_path, "plain")
        assert waiting.stdout is not None and "waits" in waiting.stdout.readline()
        waiting.terminate()
        waiting.communicate(timeout=20)
    assert waiting.returncode == 128 + signal.SIGTERM and read_events(tmp_path) == []
