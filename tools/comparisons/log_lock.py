"""Lock of the log of a cell, which all processes that write the log share.

A process that trains inherits the open log of its parent and with it the lock. So the lock lasts until the last of them
has ended: if the parent is killed, until the run has been saved.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from sagan_tf.runs.run_lock import fcntl


@contextlib.contextmanager
def open_locked_log(log: Path, name: str) -> Iterator[IO[bytes]]:
    """Open a log to append, after the processes that have it open have ended.

    Args:
        log: The file, which is created if it does not exist.
        name: What the log is of, for the line that says that this process waits.

    Yields:
        The open file. Processes that inherit it hold the lock, too.
    """
    with log.open("ab") as file:
        if fcntl is not None:
            with contextlib.suppress(OSError):  # a file system without locks
                _lock(file, log, name)
        yield file


def _lock(file: IO[bytes], log: Path, name: str) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        print(f"{name}: waits for the end of an earlier process, which still writes {log}", flush=True)
        fcntl.flock(file, fcntl.LOCK_EX)


def is_log_locked(log: Path) -> bool:
    """Return whether a process has opened a log by `open_locked_log` or has inherited it."""
    if fcntl is None:
        return False
    try:
        with log.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # no log, or a file system without locks
        pass
    return False
