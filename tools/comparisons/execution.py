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
from sagan_tf.errors import CommandEndedError
from sagan_tf.runs.run_lock import InUseError, lock_file
from tools.comparisons.cell_runs import run_cell
from tools.comparisons.cells import Cell
from tools.comparisons.devices import use_device
from tools.comparisons.processes import exit_on_sigterm
from tools.comparisons.records import FINISHED, UNHEALTHY

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

_READY = "ready"
"""Message of a process that asks for a cell. Its last message is the list of its own cells."""
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
        print(cell.describe(run_cell(cell)), flush=True)


def run_on_devices(cells: Sequence[Cell], devices: Sequence[str], program: str) -> list[Cell]:
    """Run cells by one process for each device, which gets the next cell whenever one has ended.

    Each cell is given to one process, so that a cell that fails is not tried again on another device. The processes end
    together with this process, and save before. If one of them dies, the others get the remaining cells.

    Args:
        cells: The cells.
        devices: The devices, see `devices.use_device`.
        program: The name of this program, for messages.

    Returns:
        The cells without those that another process runs, as `run_cells` does.

    Raises:
        CommandEndedError: The process of a device has died.
    """
    remaining = iter(cells)
    own: list[Cell] = []
    with exit_on_sigterm(), _start_processes(devices, program) as pipes:
        while pipes:
            ready = multiprocessing.connection.wait(pipes)
            for pipe in [pipe for pipe in pipes if pipe in ready]:
                try:
                    message = pipe.recv()
                    if message == _READY:
                        pipe.send(next(remaining, None))
                        continue
                    own += message
                except _CLOSED:
                    pass  # `_start_processes` reports how the process has ended.
                pipes.remove(pipe)
    return [cell for cell in cells if cell in own]


@contextlib.contextmanager
def _start_processes(devices: Sequence[str], program: str) -> Iterator[list[Connection]]:
    """Start a process for each device, and yield their pipes.

    At the end of the context, wait for all of them; if it ends with an exception, stop them before.

    Raises:
        CommandEndedError: A process has died.
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
        _check_statuses(devices, [process.exitcode for process in processes])
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.join()


def _check_statuses(devices: Sequence[str], statuses: Sequence[int | None]) -> None:
    """Raise CommandEndedError if a process has not ended with status 0; -N stands for signal N."""
    died = [
        f"the process of {device} was ended by signal {-status}"
        if status < 0
        else f"the process of {device} ended with status {status}"
        for device, status in zip(devices, statuses, strict=True)
        if status
    ]
    if died:
        raise CommandEndedError(f"{'; '.join(died)}; run the same command to continue", 1)


def _run_on_device(program: str, device: str, pipe: Connection) -> None:
    """Run the cells that arrive through a pipe until None arrives or the pipe is closed, and return its own cells."""
    threading.Thread(target=_end_with_parent, daemon=True).start()

    def run() -> None:
        own = run_cells(_receive_cells(pipe), device)
        with contextlib.suppress(*_CLOSED):
            pipe.send(own)

    sys.exit(run_command_line(program, None, run, argv=[]))


def _receive_cells(pipe: Connection) -> Iterator[Cell]:
    with contextlib.suppress(*_CLOSED):
        pipe.send(_READY)
        while (cell := pipe.recv()) is not None:
            yield cell
            pipe.send(_READY)


def _end_with_parent() -> None:
    """End this process when its parent has been killed.

    On Linux, the process that trains saves by itself (see `processes.start_process`). This process does not wait for
    it, because it would keep the lock of the cell, and the next start of the command would skip the cell.
    """
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os.kill(os.getpid(), signal.SIGKILL if sys.platform == "linux" else signal.SIGTERM)
