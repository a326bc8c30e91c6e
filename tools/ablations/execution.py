"""Execution of the cells of a study, here or by one process for each of several devices."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from sagan_tf.config.flag_text import format_options
from sagan_tf.runs.run_lock import InUseError, lock_file
from tools.ablations.devices import use_device
from tools.ablations.options import AblationOptions
from tools.comparisons.cells import Cell
from tools.comparisons.processes import exit_on_sigterm, start_process
from tools.comparisons.records import FINISHED, UNHEALTHY
from tools.repository import ROOT

PROGRAM = "tools/ablation.py"


def run_cells(cells: Iterable[Cell], device: str) -> list[Cell]:
    """Train and evaluate cells one after the other, without those that have ended or that another process runs.

    Args:
        cells: The cells.
        device: The device that they use, see `devices.use_device`.

    Returns:
        The cells without those that another process runs.

    Raises:
        UserError: The record of a cell is damaged, or has another configuration or other steps.
    """
    own = []
    with exit_on_sigterm(), use_device(device):
        for cell in cells:
            cell.run_dir.parent.mkdir(parents=True, exist_ok=True)
            try:
                with lock_file(cell.path_with_suffix(".lock"), cell.name):
                    _run_cell(cell)
                own.append(cell)
            except InUseError as error:
                print(f"{cell.name}: skipped: in use by {error.owner}", flush=True)
    return own


def _run_cell(cell: Cell) -> None:
    record = cell.read_record()
    if record is None or record["status"] not in (FINISHED, UNHEALTHY):
        print(cell.describe(cell.run()), flush=True)


def run_on_devices(options: AblationOptions, num_cells: int) -> None:
    """Run all cells by one process of this program for each device.

    The processes take the next cell that has not ended and that no other process has locked. They end together with
    this process, and save before.

    Args:
        options: The options of this process.
        num_cells: Number of cells.
    """
    cells = tuple(options.cell) or tuple(range(num_cells))
    processes: list[subprocess.Popen[bytes]] = []
    with exit_on_sigterm():
        try:
            for device in options.devices:
                of_device = dataclasses.replace(options, devices=(device,), cell=cells)
                command = [sys.executable, str(ROOT / PROGRAM), *_list_flags(of_device)]
                processes.append(start_process(command, directory=Path.cwd()))
            for process in processes:
                process.wait()
        finally:
            for process in processes:
                process.terminate()
            for process in processes:
                process.wait()


def _list_flags(options: AblationOptions) -> Sequence[str]:
    return [line for line in format_options(options).splitlines() if line.startswith("--")]
