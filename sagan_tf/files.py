"""Functions that write files: as a whole or not at all, or one line at a time."""

from __future__ import annotations

import contextlib
import errno
import os
import pathlib
from collections.abc import Iterator


@contextlib.contextmanager
def replace_atomically(path: pathlib.Path, *, shared: bool = False) -> Iterator[pathlib.Path]:
    """Yield the path of a temporary file that replaces `path` at the end of the context.

    A reader, or a crash, never sees half of the file. After an exception the temporary file is removed.

    Args:
        path: The file to write. Its directory exists.
        shared: Whether several processes may write this file at the same time. Each then has a temporary file of its
            own, which stays if the process is killed.

    Raises:
        OSError: The file cannot be written.
    """
    temporary = path.with_name(f"{path.name}.{os.getpid()}.part" if shared else f"{path.name}.part")
    try:
        temporary.unlink(missing_ok=True)  # a link there would be followed, out of the directory
        yield temporary
        temporary.replace(path)
    finally:
        with contextlib.suppress(OSError):  # it has its final name by now, or was never created
            temporary.unlink(missing_ok=True)


def write_atomically(path: pathlib.Path, content: str | bytes) -> None:
    """Write a file, text as UTF-8, so that a reader, or a crash, never sees half of it."""
    with replace_atomically(path) as temporary:
        temporary.write_bytes(content.encode("utf-8") if isinstance(content, str) else content)


def append_line(path: pathlib.Path, line: str) -> None:
    """Add a line to a text file, as a whole or, where the disk is full, not at all.

    The line begins on a line of its own, also where a crash has left half a line at the end of the file.
    """
    with path.open("a+b", buffering=0) as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(size - 1, 0))
        content = (line if file.read(1) in (b"", b"\n") else f"\n{line}").encode() + b"\n"
        try:
            if (file.write(content) or 0) < len(content):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        except OSError:
            file.truncate(size)
            raise
