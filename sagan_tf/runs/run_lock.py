"""One process at a time trains in a run's folder: two would take turns at overwriting each other's checkpoints."""

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
from typing import IO, Any

from sagan_tf.errors import UserError

# Windows has none: runs are not locked there.
fcntl: Any = importlib.import_module("fcntl") if importlib.util.find_spec("fcntl") else None
LOCK_FILE = ".lock"


@contextlib.contextmanager
def run_lock(run_dir: pathlib.Path) -> Iterator[None]:
    """A context in which no other process can train in a folder.

    The system lets the lock go when its process ends, however it ends: one that a killed process has left is free. What
    stands in the file is for people. It stays, empty: who removed it could remove the next one's.

    Raises:
        UserError: Another process has the lock, and the message names it; or the lock file cannot be opened.
    """
    if fcntl is None:
        yield
        return
    with _open_lock(run_dir / LOCK_FILE) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UserError(
                f"run_dir: expected a directory in which no other process is training, received {run_dir}, in use by "
                f"{_owner(file)}; wait for it or stop it, or pass another --run_dir"
            ) from error
        except OSError:  # a file system without locks
            yield
            return
        started = datetime.datetime.now().astimezone().isoformat(timespec="seconds")
        _replace(file, json.dumps({"pid": os.getpid(), "host": socket.gethostname(), "started": started}) + "\n")
        try:
            yield
        finally:
            _replace(file, "")


def _open_lock(path: pathlib.Path) -> IO[str]:
    try:
        return path.open("a+", encoding="utf-8")
    except OSError as error:  # the file belongs to another user, or a directory has its name
        reason = error.strerror or type(error).__name__
        advice = "remove it" if isinstance(error, IsADirectoryError) else "check its permissions"
        raise UserError(
            f"run_dir: cannot open the lock file {path} ({reason}); {advice}, or pass another --run_dir"
        ) from error


def _owner(file: IO[str]) -> str:
    file.seek(0)
    try:
        owner = json.loads(file.read())
        return f"process {owner['pid']} on {owner['host']} since {owner['started']}"
    except (ValueError, KeyError, TypeError):
        return "another process"


def _replace(file: IO[str], text: str) -> None:
    file.seek(0)
    file.truncate()
    file.write(text)
    file.flush()
