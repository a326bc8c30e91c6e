"""Execution of the cells of a comparison, here or by one process for each of several devices."""

from __future__ import annotations

import contextlib
import multiprocessing
import multiprocessing.connection
import os
import signal
import sys
import threading
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from sagan_tf.cli.command_line import run_command_line
from sagan_tf.runs.run_lock import InUseError, lock_file
from tools.comparisons.cells import Cell
from tools.comparisons.devices import use_device
from tools.comparisons.processes import exit_on_sigterm
from tools.comparisons.records import FINISHED, UNHEALTHY

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

_CLOSED = (EOFError, BrokenPipeError, ConnectionResetError)
"""Exceptions of a pipe whose other process has ended."""


def run_cells(cells: Iterable[Cell], device: str) -> list[Cell]:
    """Train and evaluate cells one after the other, without those that have ended or that another process runs.

    Args:
        cells: The cells.
        device: The device that they use, see `devices.use_device`.

    Returns:
        The cells without those that another process runs.

    Raises:
        UserError: The record of a cell is damaged, or has another configuration or another limit.
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


def run_on_devices(cells: Iterable[Cell], devices: Sequence[str], program: str) -> None:
    """Run cells by one process for each device, which gets the next cell whenever one has ended.

    Each cell is given to one process, so that a cell that fails is not tried again on another device. The processes end
    together with this process, and save before.

    Args:
        cells: The cells.
        devices: The devices, see `devices.use_device`.
        program: The name of this program, for messages.
    """
    remaining = iter(cells)
    with exit_on_sigterm(), _start_processes(devices, program) as pipes:
        while pipes:
            for pipe in [pipe for pipe in multiprocessing.connection.wait(pipes) if pipe in pipes]:
                cell = None
                with contextlib.suppress(*_CLOSED):
                    pipe.recv()
                    cell = next(remaining, None)
                    pipe.send(cell)
                if cell is None:
                    pipes.remove(pipe)


@contextlib.contextmanager
def _start_processes(devices: Sequence[str], program: str) -> Iterator[list[Connection]]:
    """Start a process for each device, and yield their pipes.

    At the end of the context, wait for all of them; if it ends with an exception, stop them before.
    """
    context = multiprocessing.get_context("spawn")  # A fork would copy the locks of TensorFlow's threads.
    processes, pipes = [], []
    # Ctrl-C goes to all processes of a terminal. These inherit that it is ignored; this process stops them.
    on_interrupt = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        try:
            for device in devices:
                pipe, process_pipe = context.Pipe()
                process = context.Process(target=_run_on_device, args=(program, device, process_pipe))
                process.start()
                processes.append(process)
                process_pipe.close()
                pipes.append(pipe)
        finally:
            signal.signal(signal.SIGINT, on_interrupt)
        yield pipes
        for process in processes:
            process.join()
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.join()


def _run_on_device(program: str, device: str, pipe: Connection) -> None:
    """Run the cells that arrive through a pipe until None arrives or the pipe is closed."""
    threading.Thread(target=_end_with_parent, daemon=True).start()

    def run() -> None:
        run_cells(_receive_cells(pipe), device)

    sys.exit(run_command_line(program, None, run, argv=[]))


def _receive_cells(pipe: Connection) -> Iterator[Cell]:
    with contextlib.suppress(*_CLOSED):
        pipe.send("ready")
        while (cell := pipe.recv()) is not None:
            yield cell
            pipe.send("ready")


def _end_with_parent() -> None:
    """End this process when its parent has been killed.

    On Linux, the process that trains saves by itself (see `processes.start_process`). This process does not wait for
    it, because it would keep the lock of the cell, and the next start of the command would skip the cell.
    """
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os.kill(os.getpid(), signal.SIGKILL if sys.platform == "linux" else signal.SIGTERM)
