"""Functions that check before long work that a place can be written, and that write files.

What is written after long work is checked before it with `check_can_write_file` or `check_can_write_directory`, and
written with `write_result`, which loses nothing where the disk has become full meanwhile.
"""

from __future__ import annotations

import contextlib
import errno
import os
import pathlib
import shutil
import tempfile
from collections.abc import Callable, Iterator

from sagan_tf.errors import UserError

_PROBE_BYTES = 4096
"""Size of the temporary file that a check writes: an empty file fits on a full disk."""


def check_can_write_file(path: pathlib.Path, option: str, *, num_bytes: int = 0) -> None:
    """Raise an error unless a file can be created or replaced by `replace_atomically`.

    A temporary file is written and removed, since permissions alone say nothing of disks that are full or mounted
    read-only. Neither the file nor its missing directories are created.

    Args:
        path: The file.
        option: The option that names it, for the message.
        num_bytes: The least size that it will have.

    Raises:
        UserError: The file cannot be written, a directory or a device has its name, or its disk has less space than
            `num_bytes`.
    """
    with _explaining(path, option):
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        if path.exists() and not path.is_file():
            raise OSError("it is not a regular file")
        _probe(path.parent, f"{path.name}.part", num_bytes=num_bytes)


def check_can_write_directory(path: pathlib.Path, option: str, *, num_bytes: int = 0) -> None:
    """Raise an error unless files can be created in a directory, which is created when they are written.

    See `check_can_write_file` for what is tried.

    Args:
        path: The directory.
        option: The option that names it, for the message.
        num_bytes: The least size of what will be written there.

    Raises:
        UserError: The directory cannot be written, cannot be created, or its disk has less space than `num_bytes`.
    """
    with _explaining(path, option):
        _probe(path, num_bytes=num_bytes)


def check_can_append(path: pathlib.Path, option: str) -> None:
    """Raise an error unless `append_line` can extend or create a file.

    Args:
        path: The file.
        option: The option that names it, for the message.

    Raises:
        UserError: The file cannot be written.
    """
    with _explaining(path, option):
        if path.exists():
            path.open("ab").close()
        _probe(path.parent)


@contextlib.contextmanager
def _explaining(path: pathlib.Path, option: str) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError) as error:  # ValueError for null bytes in a path
        raise UserError(
            f"{option}: cannot write {path} ({_reason(error)}); make that place writable, or choose another"
        ) from error


def _reason(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error)


def _probe(directory: pathlib.Path, *names: str, num_bytes: int = 0) -> None:
    """Raise OSError unless a temporary file can be written into a directory, or the nearest existing one above it.

    Args:
        directory: The directory.
        *names: Names of files that will be created in it.
        num_bytes: Space that its disk must have.
    """
    if directory.parts[:1] == ("~",):
        raise OSError("this user has no home directory")
    existing = directory.absolute()
    while not os.path.lexists(existing):
        existing = existing.parent
    for name in (*directory.absolute().relative_to(existing).parts, *names):
        with contextlib.suppress(FileNotFoundError):
            os.lstat(existing / name)  # raises an error for a name that is too long
    with tempfile.TemporaryFile(dir=os.fspath(existing)) as file:
        file.write(bytes(_PROBE_BYTES))
    free = shutil.disk_usage(existing).free
    if free < num_bytes:
        raise OSError(f"{os.strerror(errno.ENOSPC)}: expected at least {num_bytes:,} bytes, found {free:,}")


def write_result(path: pathlib.Path, option: str, write: Callable[[pathlib.Path], None]) -> None:
    """Write the result of long work, to the system's temporary directory where `path` cannot be written any more.

    Args:
        path: The file.
        option: The option that names it, for the message.
        write: Writes the file that it is given.

    Raises:
        UserError: `path` cannot be written. The message says where the result is.
    """
    try:
        write(path)
    except OSError as error:
        raise UserError(f"{option}: cannot write {path} ({_reason(error)}){_rescue(path.suffix, write)}") from error


def _rescue(suffix: str, write: Callable[[pathlib.Path], None]) -> str:
    """Write a result to the system's temporary directory; return what a message says of that."""
    with contextlib.suppress(OSError):
        directory = pathlib.Path(tempfile.mkdtemp(prefix="sagan_tf_"))
        try:
            write(directory / f"result{suffix}")
            return f"; the result is in {directory / f'result{suffix}'}"
        except OSError:
            directory.rmdir()
    return "; free some space and run the command again"


@contextlib.contextmanager
def replace_atomically(path: pathlib.Path, *, shared: bool = False) -> Iterator[pathlib.Path]:
    """Yield the path of a temporary file that replaces `path` at the end of the context.

    A reader, or a crash, never sees half of the file. After an exception the temporary file is removed.

    Args:
        path: The file to write. Its directory is created if it does not exist.
        shared: Whether several processes may write this file at the same time. Each then has a temporary file of its
            own, which stays if the process is killed.

    Raises:
        OSError: The file cannot be written.
    """
    temporary = path.with_name(f"{path.name}.{os.getpid()}.part" if shared else f"{path.name}.part")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        temporary.unlink(missing_ok=True)  # a link there would be followed, out of the directory
        yield temporary
        temporary.replace(path)
    finally:
        with contextlib.suppress(OSError):  # it has its final name by now, or was never created
            temporary.unlink(missing_ok=True)


def write_atomically(path: pathlib.Path, content: str | bytes) -> None:
    """Write a file so that a reader, or a crash, never sees half of it.

    Text is written as UTF-8. Bytes of file names that are not UTF-8 (`surrogateescape`) are written as they are.
    """
    if isinstance(content, str):
        content = content.encode("utf-8", "surrogateescape")
    with replace_atomically(path) as temporary:
        temporary.write_bytes(content)


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
