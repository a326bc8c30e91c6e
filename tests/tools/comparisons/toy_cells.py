"""Cells whose processes train nothing: they write the files of a run, and save after a SIGTERM."""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys

from sagan_tf.config import Config
from tests.waiting import wait_until
from tools.comparisons.cells import Cell, Limit
from tools.comparisons.settings import Setting
from tools.repository import ROOT

STEPS = 4
_TRAIN = """
import json, os, pathlib, signal, sys, time
from sagan_tf.errors import UserError
from sagan_tf.runs.run_lock import lock_run_directory

def log(event):
    with (directory / "events").open("a") as file:
        file.write(f"{run_dir.parent.name} {event} {sorted(os.sched_getaffinity(0))}\\n")

def end():
    while (directory / "full").exists():
        time.sleep(0.02)
    (run_dir / "checkpoints" / f"step-{step}.index").touch()
    log("saved")
    sys.exit(143)

run_dir, directory = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
(run_dir / "checkpoints").mkdir(parents=True, exist_ok=True)
saved = [int(path.stem.partition("-")[2]) for path in (run_dir / "checkpoints").iterdir()]
step, stopped = max(saved, default=0), []
log(f"began at {step}")
try:
    with lock_run_directory(run_dir):
        signal.signal(signal.SIGTERM, lambda *_: stopped.append(1))
        while step < int(sys.argv[3]):
            step += 1
            with (run_dir / "metrics.jsonl").open("a") as file:
                file.write(json.dumps({"kind": "train", "step": step, "steps_per_second": 1, "images_per_second": 8}))
                file.write("\\n")
            while (directory / "hold").exists() and not stopped:
                time.sleep(0.02)
            if stopped:
                end()
        if (directory / "fail").exists():
            sys.exit("error: no such data")
        (run_dir / "checkpoints" / f"step-{step}.index").touch()
except UserError as error:
    sys.exit(f"error: {error}")
log("trained")
"""
_EVALUATE = """
import os, pathlib, sys
path = pathlib.Path(sys.argv[1])
path.write_text(sys.argv[2])
with (path.parents[1] / "events").open("a") as file:
    file.write(f"{path.parent.name} evaluated {sorted(os.sched_getaffinity(0))}\\n")
"""
_RUN = """
import pathlib, sys
from sagan_tf.cli.command_line import run_command_line
from tests.tools.comparisons import toy_cells
from tools.comparisons import execution
directory, names, devices = pathlib.Path(sys.argv[1]), sys.argv[2].split(","), sys.argv[3].split(",")
cells = toy_cells.make_cells(directory, *names)
def run():
    own = execution.run_on_devices(cells, devices, "toy") if devices[1:] else execution.run_cells(cells, "")
    print("own:", [cell.setting.name for cell in own])
sys.exit(run_command_line("toy", None, run, argv=[]))
"""


class ToyCell(Cell):
    """A cell of short processes.

    They train as long as the file `hold` exists, save as long as `full` exists, and fail if `fail` exists.
    """

    def create_train_command(self) -> list[str]:
        """Return the command of a process that counts steps."""
        return [sys.executable, "-c", _TRAIN, str(self.run_dir), str(self.directory), str(self.limit.steps)]

    def create_evaluate_command(self) -> list[str]:
        """Return the command of a process that writes an evaluation."""
        result = json.dumps({"step": self.limit.steps, "num_samples": {"fcd1k": 1}, "fcd1k": 1.0})
        return [sys.executable, "-c", _EVALUATE, str(self.path_with_suffix(".evaluation.json")), result]


def make_cells(directory: pathlib.Path, *names: str) -> list[Cell]:
    """Make a cell of each name, with seed 0."""
    return [ToyCell(Setting(name, ()), 0, Limit(STEPS, 0.0), (), directory, Config()) for name in names]


def start_cells(directory: pathlib.Path, names: str, devices: str = "") -> subprocess.Popen[str]:
    """Start a process that runs cells, whose names and devices are comma lists."""
    command = [sys.executable, "-c", _RUN, str(directory), names, devices]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def read_events(directory: pathlib.Path) -> list[str]:
    """Return what the processes have done, in order, without their cores."""
    path = directory / "events"
    lines = path.read_text().splitlines() if path.exists() else []
    return [line.partition(" [")[0] for line in lines]


def read_cores(directory: pathlib.Path) -> dict[str, set[str]]:
    """Return the cores that the processes of each cell could use, as text."""
    cores: dict[str, set[str]] = {}
    for line in (directory / "events").read_text().splitlines():
        cores.setdefault(line.split()[0], set()).add(line.partition(" [")[2])
    return cores


def wait_for_step(cell: Cell) -> None:
    """Wait until the process of a cell trains."""
    wait_until(lambda: (cell.run_dir / "metrics.jsonl").exists(), seconds=20)
