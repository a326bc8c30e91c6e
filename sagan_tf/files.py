"""Atomic writes, and checks before long work that its results can be written.

Before long work, `check_can_write_file` or `check_can_write_directory` checks the destination of a result. After it,
`write_result` writes the result, and keeps it in another place if the disk has become full in the meantime.
"""

from __future__ import annotations

import contextlib
import errno
import os
import pathlib
import shutil
import tempfile
from collections.abc import Callable, Iterator

from sagan_tf.disk_sync import sync_to_disk
from sagan_tf.errors import UserError

_PROBE_BYTES = 4096
"""Size of the temporary file that a check writes. An empty file would fit on a full disk."""


def check_can_write_file(path: pathlib.Path, option: str, *, num_bytes: int = 0) -> None:
    """Check that `replace_atomically` can create or replace a file.

    The check writes and removes a temporary file, because permissions do not show whether a disk is full or mounted
    read-only. It creates neither the file nor its missing directories.

    Args:
        path: The file.
        option: The option that names the file, for the message.
        num_bytes: The minimum size that the file will have.

    Raises:
        UserError: The file cannot be written, a directory or a device has its name, or its disk has less free space
            than `num_bytes`.
    """
    with _explain_errors(path, option):
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        if path.exists() and not path.is_file():
            raise OSError("it is not a regular file")
        _probe(path.parent, f"{path.name}.part", num_bytes=num_bytes)


def check_can_write_directory(path: pathlib.Path, option: str, *, num_bytes: int = 0) -> None:
    """Check that files can be created in a directory.

    The directory may be missing: it is created when the files are written. See `check_can_write_file` for how the check
    works.

    Args:
        path: The directory.
        option: The option that names the directory, for the message.
        num_bytes: The minimum size of the files that will be written there.

    Raises:
        UserError: The directory cannot be written or created, or its disk has less free space than `num_bytes`.
    """
    with _explain_errors(path, option):
        _probe(path, num_bytes=num_bytes)


def check_can_append(path: pathlib.Path, option: str) -> None:
    """Check that `append_line` can extend or create a file.

    Args:
        path: The file.
        option: The option that names the file, for the message.

    Raises:
        UserError: The file cannot be written.
    """
    with _explain_errors(path, option):
        if path.exists():
            path.open("ab").close()
        _probe(path.parent)


@contextlib.contextmanager
def _explain_errors(path: pathlib.Path, option: str) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError) as error:  # ValueError for null bytes in a path
        raise UserError(
            f"{option}: cannot write {path} ({_get_reason(error)}); make it writable, or choose another path"
        ) from error


def _get_reason(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error)


def _probe(directory: pathlib.Path, *names: str, num_bytes: int = 0) -> None:
    """Write a temporary file into a directory, or into its nearest existing parent.

    Args:
        directory: The directory.
        *names: Names of files that will be created in the directory.
        num_bytes: The free space that the disk must have.

    Raises:
        OSError: The file cannot be written, a name is too long, or the disk has too little free space.
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
    free_bytes = shutil.disk_usage(existing).free
    if free_bytes < num_bytes:
        raise OSError(f"{os.strerror(errno.ENOSPC)}: expected at least {num_bytes:,} bytes, found {free_bytes:,}")


def write_result(path: pathlib.Path, option: str, write: Callable[[pathlib.Path], None]) -> None:
    """Write the result of long work.

    If that fails, the result is saved in the system's temporary directory.

    Args:
        path: The file.
        option: The option that names the file, for the message.
        write: A function that writes the result to the path that it receives.

    Raises:
        UserError: `path` cannot be written. The message says where the result is.
    """
    try:
        write(path)
    except OSError as error:
        hint = _save_elsewhere(path.suffix, write)
        raise UserError(f"{option}: cannot write {path} ({_get_reason(error)}); {hint}") from error


def write_result_atomically(path: pathlib.Path, option: str, content: str | bytes) -> None:
    """Write the result of long work by `write_atomically`; see `write_result`."""
    write_result(path, option, lambda target: write_atomically(target, content))


def _save_elsewhere(suffix: str, write: Callable[[pathlib.Path], None]) -> str:
    """Write a result to the system's temporary directory; return a hint."""
    with contextlib.suppress(OSError):
        directory = pathlib.Path(tempfile.mkdtemp(prefix="sagan_tf_"))
        try:
            write(directory / f"result{suffix}")
            return f"the result is in {directory / f'result{suffix}'}"
        except OSError:
            directory.rmdir()
    return "free some space and run the command again"


@contextlib.contextmanager
def replace_atomically(path: pathlib.Path, *, shared: bool = False) -> Iterator[pathlib.Path]:
    """Yield a temporary file that replaces `path` at the end of the context.

    `path` never holds a partly written file, neither for a reader nor after a crash. After an exception the temporary
    file is removed.

    Args:
        path: The file to write. Its directory is created if it does not exist.
        shared: Whether several processes may write this file at the same time. Each process then has its own temporary
            file, which remains if the process is killed.

    Yields:
        The path of the temporary file.

    Raises:
        OSError: The file cannot be written.
    """
    temporary = path.with_name(f"{path.name}.{os.getpid()}.part" if shared else f"{path.name}.part")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        temporary.unlink(missing_ok=True)  # writing would follow a link there, out of the directory
        yield temporary
        temporary.replace(path)
    finally:
        with contextlib.suppress(OSError):  # the file has its final name by now, or was never created
            temporary.unlink(missing_ok=True)


def write_atomically(path: pathlib.Path, content: str | bytes, *, durable: bool = False) -> None:
    """Write a file so that it is never partly written, even after a crash of the program.

    Args:
        path: The file.
        content: Text is written as UTF-8. Bytes of file names that are not UTF-8 (`surrogateescape`) are written
            unchanged.
        durable: Whether the file is complete also after a power failure. This takes longer.

    Raises:
        OSError: The file cannot be written.
    """
    if isinstance(content, str):
        content = content.encode("utf-8", "surrogateescape")
    with replace_atomically(path) as temporary, _name_file(path):
        temporary.write_bytes(content)
        if durable:
            sync_to_disk(temporary)
    if durable:
        sync_to_disk(path.parent)


def append_line(path: pathlib.Path, line: str) -> None:
    """Append a line to a text file.

    Either the whole line is written or, if the disk is full, nothing.

    If a crash has left an unfinished line at the end of the file, the new line still begins on its own line.

    Args:
        path: The file. It is created if it does not exist.
        line: The line, without its line break.

    Raises:
        OSError: The file cannot be written. It is then as it was before.
    """
    with path.open("a+b", buffering=0) as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(size - 1, 0))
        content = (line if file.read(1) in (b"", b"\n") else f"\n{line}").encode() + b"\n"
        try:
            with _name_file(path):
                if (file.write(content) or 0) < len(content):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError:
            file.truncate(size)
            raise


@contextlib.contextmanager
def _name_file(path: pathlib.Path) -> Iterator[None]:
    """Enter a context whose errors name a file; the operating system names none if a write fails."""
    try:
        yield
    except OSError as error:
        error.filename = error.filename or str(path)
        raise
