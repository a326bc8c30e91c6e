"""Lock of the log of a cell, which all processes that write the log share.

A process that trains inherits the open log of its parent and with it the lock. So the lock lasts until the last of them
has ended: if the parent is killed, until the run has been saved.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from sagan_tf.runs.run_lock import LOCK_FILE, fcntl, find_lock_owner


@contextlib.contextmanager
def open_locked_log(log: Path, run_dir: Path, name: str) -> Iterator[IO[bytes]]:
    """Open a log to append, after the processes that have it open have ended.

    A line says that this process waits, and names the process that trains.

    Args:
        log: The file, which is created if it does not exist.
        run_dir: The directory of the training run, which may not exist.
        name: What the log is of, for the line.

    Yields:
        The open file. Processes that inherit it hold the lock, too.
    """
    with log.open("ab") as file:
        if fcntl is not None:
            with contextlib.suppress(OSError):  # a file system without locks
                _lock(file, run_dir, name)
        yield file


def _lock(file: IO[bytes], run_dir: Path, name: str) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        owner = find_lock_owner(run_dir / LOCK_FILE)
        advice = f"; to stop it, run kill {owner.pid} on {owner.host}" if owner else ""
        process = owner or "an earlier process"
        print(f"{name}: waits for the end of {process}, which still writes {file.name}{advice}", flush=True)
        fcntl.flock(file, fcntl.LOCK_EX)


def is_log_locked(log: Path) -> bool | None:
    """Return whether a process has opened a log by `open_locked_log` or has inherited it.

    Args:
        log: The file, which need not exist.

    Returns:
        None if this is not known, because the system or the file system has no locks.
    """
    if not log.exists():
        return False
    if fcntl is None:
        return None
    try:
        with log.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # a file system without locks
        return None
    return False
