"""Cells on several devices."""

import json
import os
import pathlib
import signal

import pytest

from sagan_tf.environment.cores import list_usable_cores
from sagan_tf.runs.run_lock import lock_file
from tests.tools.comparisons.toy_cells import make_cells, read_cores, read_events, start_cells, wait_for_step
from tests.waiting import wait_until

DEVICES = "cpu,cpu:0"
CORES = list_usable_cores()


@pytest.mark.skipif(len(CORES) < 2, reason="needs two cores")
def test_training_and_evaluation_of_a_cell_use_one_core(tmp_path: pathlib.Path):
    cells = make_cells(tmp_path, "first", "second")
    (tmp_path / "hold").touch()
    process = start_cells(tmp_path, "first,second", f"cpu:{CORES[0]},cpu:{CORES[1]}")
    for cell in cells:
        wait_for_step(cell)
    (tmp_path / "hold").unlink()
    process.communicate(timeout=30)
    assert len(read_events(tmp_path)) == 6
    assert sorted(read_cores(tmp_path).values(), key=str) == [{f"{core}]"} for core in CORES[:2]]


def test_a_cell_that_fails_is_tried_once_in_each_start(tmp_path: pathlib.Path):
    (tmp_path / "fail").touch()
    for start in (1, 2):
        printed = start_cells(tmp_path, "first,second", DEVICES).communicate(timeout=30)[0]
        began = [line.split()[0] for line in read_events(tmp_path)]
        assert sorted(began) == sorted(["first", "second"] * start)
        assert printed.count("failed: ") == printed.count("no such data") == 2


def test_the_other_device_takes_the_cells_of_a_killed_process(tmp_path: pathlib.Path):
    names = ("first", "second", "third")
    cells = make_cells(tmp_path, *names)
    (tmp_path / "hold").touch()
    process = start_cells(tmp_path, ",".join(names), DEVICES)
    for cell in cells[:2]:
        wait_for_step(cell)
    owner = json.loads(cells[0].path_with_suffix(".lock").read_text())["pid"]
    os.kill(owner, signal.SIGKILL)
    wait_until(lambda: "first saved" in read_events(tmp_path), seconds=20)
    (tmp_path / "hold").unlink()
    assert "was ended by signal 9" in process.communicate(timeout=30)[0] and process.returncode == 1
    assert [cell.name for cell in cells if cell.path_with_suffix(".evaluation.json").exists()] == [
        "second, seed 0",
        "third, seed 0",
    ]
    assert "first, seed 0: 4 steps" in start_cells(tmp_path, ",".join(names), DEVICES).communicate(timeout=30)[0]
    assert read_events(tmp_path)[-3:] == ["first began at 1", "first trained", "first evaluated"]


def test_a_process_that_ends_with_an_error_makes_the_status_1(tmp_path: pathlib.Path):
    cells = make_cells(tmp_path, "first", "second")
    cells[0].run_dir.mkdir(parents=True)
    cells[0].path_with_suffix(".json").write_text("{}")
    process = start_cells(tmp_path, "first,second", DEVICES)
    printed = process.communicate(timeout=30)[0]
    assert (
        process.returncode == 1 and printed.count("ended with status 2") == 1 and "second, seed 0: 4 steps" in printed
    )


def test_cells_of_another_process_are_not_own_cells(tmp_path: pathlib.Path):
    cells = make_cells(tmp_path, "first", "second", "third")
    cells[1].run_dir.mkdir(parents=True)
    with lock_file(cells[1].path_with_suffix(".lock"), "the cell"):
        process = start_cells(tmp_path, "first,second,third", DEVICES)
        assert "own: ['first', 'third']" in process.communicate(timeout=30)[0] and process.returncode == 0


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGKILL, -9)])
def test_all_processes_save_when_the_first_is_stopped(number: int, status: int, tmp_path: pathlib.Path):
    cells = make_cells(tmp_path, "first", "second", "third")
    (tmp_path / "hold").touch()
    process = start_cells(tmp_path, "first,second,third", DEVICES)
    for cell in cells[:2]:
        wait_for_step(cell)
    process.send_signal(number)
    process.communicate(timeout=30)  # until all processes but those that save have closed their output
    assert process.returncode == status
    (tmp_path / "hold").unlink()
    assert start_cells(tmp_path, "first,second", DEVICES).communicate(timeout=30)[0].count("4 steps") == 2
    began = sorted(event for event in read_events(tmp_path) if "trained" not in event and "evaluated" not in event)
    expected = ["began at 0", "began at 1", "saved"]
    assert began == [f"{name} {event}" for name in ("first", "second") for event in expected]
