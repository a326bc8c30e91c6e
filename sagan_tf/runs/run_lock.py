"""Lock of a run directory, so that two processes do not overwrite each other's checkpoints."""

from __future__ import annotations

import contextlib
import datetime
import importlib
import importlib.util
import json
import os
import pathlib
import socket
from collections.abc import Iterator
from typing import IO, Any, NamedTuple

from sagan_tf.errors import UserError

# Windows has no fcntl module, so that runs are not locked there.
fcntl: Any = importlib.import_module("fcntl") if importlib.util.find_spec("fcntl") else None
LOCK_FILE = ".lock"


class LockOwner(NamedTuple):
    """The process that holds a lock.

    Attributes:
        pid: Its number.
        host: Its machine.
        started: The time at which it took the lock.
    """

    pid: int
    host: str
    started: str

    def __str__(self) -> str:
        """Describe the process for messages."""
        return f"process {self.pid} on {self.host} since {self.started}"


class InUseError(UserError):
    """Raised for a lock that another process has.

    Attributes:
        owner: The other process, its machine and its start.
    """

    def __init__(self, message: str, owner: str) -> None:
        super().__init__(message)
        self.owner = owner


@contextlib.contextmanager
def lock_run_directory(run_dir: pathlib.Path) -> Iterator[None]:
    """Lock a run directory inside a context, so that no other process can train in it.

    Args:
        run_dir: Run directory, which exists.

    Yields:
        None.

    Raises:
        InUseError: Another process has the lock, and the message names it.
        UserError: The lock file cannot be opened.
    """
    with lock_file(run_dir / LOCK_FILE, str(run_dir)):
        yield


@contextlib.contextmanager
def lock_file(path: pathlib.Path, locked: str) -> Iterator[None]:
    """Hold the lock of a lock file inside a context.

    The system releases the lock when the process ends, even if it is killed. The lock file describes the process for
    people. At the end the file is emptied and not removed, because removing it could remove the lock of the next
    process.

    Args:
        path: Lock file, which is created if it does not exist.
        locked: Name of what the lock protects, for messages.

    Yields:
        None.

    Raises:
        InUseError: Another process has the lock, and the message names it.
        UserError: The lock file cannot be opened.
    """
    if fcntl is None:
        yield
        return
    with _open_lock(path) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            owner = str(_read_owner(file) or "another process")
            raise InUseError(
                f"run_dir: {locked} is in use by {owner}; wait for it or stop it, or pass another --run_dir", owner
            ) from error
        except OSError:  # a file system without locks
            yield
            return
        started = datetime.datetime.now().astimezone().isoformat(timespec="seconds")
        _replace_text(file, json.dumps({"pid": os.getpid(), "host": socket.gethostname(), "started": started}) + "\n")
        try:
            yield
        finally:
            _replace_text(file, "")


def find_lock_owner(path: pathlib.Path) -> LockOwner | None:
    """Find the process that holds the lock of a lock file.

    Args:
        path: Lock file, which may not exist.

    Returns:
        The process; None if no process holds the lock, or if this is not known.
    """
    with contextlib.suppress(OSError), path.open(encoding="utf-8") as file:
        owner = _read_owner(file)
        # A process that was killed leaves its description, so that the lock must be tested. Without a description it is
        # not: the test takes the lock for a moment, and a run that starts at this moment would be refused.
        if owner is not None and fcntl is not None:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return owner
    return None


def _open_lock(path: pathlib.Path) -> IO[str]:
    try:
        return path.open("a+", encoding="utf-8")
    except OSError as error:  # the file belongs to another user, or a directory has its name
        reason = error.strerror or type(error).__name__
        advice = "remove it" if isinstance(error, IsADirectoryError) else "check its permissions"
        raise UserError(
            f"run_dir: cannot open the lock file {path} ({reason}); {advice}, or pass another --run_dir"
        ) from error


def _read_owner(file: IO[str]) -> LockOwner | None:
    file.seek(0)
    try:
        owner = json.loads(file.read())
        return LockOwner(owner["pid"], owner["host"], owner["started"])
    except (ValueError, KeyError, TypeError):
        return None


def _replace_text(file: IO[str], text: str) -> None:
    file.seek(0)
    file.truncate()
    file.write(text)
    file.flush()
