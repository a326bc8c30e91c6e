"""Standard streams and log lines of a command."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import select
import sys
import warnings
from collections.abc import Callable, Iterator
from typing import Any

_STANDARD_DESCRIPTORS = (0, 1, 2)


def run_command(program: str, main: Callable[[], int], *, prints_result: bool = False, restart: bool = True) -> int:
    """Run a command so that problems with standard streams do not end it.

    The following rules hold for every command and tool:

    * A standard descriptor (0, 1 or 2) that is closed is opened on the null device. Otherwise the next file that is
      opened, for example a checkpoint, would get its number, and libraries would write their messages into it.
    * `sys.stdout` and `sys.stderr` exist. A character that their encoding lacks is written as an escape.
    * Output that cannot be written is dropped, and the command continues, because a run is worth more than its log.
      Nothing is reported if the reader has closed the pipe (`| head -1`) or the stream was closed at the start. Any
      other reason, such as a full disk, is reported in one line on standard error at the end. The exit status becomes
      1 only if the lost output was the result of the command.
    * File names are UTF-8 in every locale. If Python would decode them differently, the process restarts in Python's
      UTF-8 mode.

    Args:
        program: The name of the command, for messages.
        main: The command. It returns its exit status.
        prints_result: Whether standard output is the result of the command rather than only its log.
        restart: Whether the process may restart in UTF-8 mode. Only valid if the process runs nothing but the command.

    Returns:
        The exit status, for `sys.exit`.
    """
    open_closed_descriptors()
    if restart:
        _require_utf8_file_names()
    with _lossy_stream("stdout") as stdout, _lossy_stream("stderr") as stderr, warnings.catch_warnings():
        # Images that Pillow warns about are reported as unreadable, because they are above a limit of this package.
        warnings.filterwarnings("ignore", "Image size .* exceeds limit", module="PIL")
        status = main()
        reason = _find_output_error(stdout)
        if reason is not None:
            level = "error" if prints_result else "warning"
            stderr.write(f"{program}: {level}: standard output could not be written: {reason}\n")
            return status or int(prints_result)
        return status


def open_closed_descriptors() -> None:
    """Open every closed standard descriptor on the null device."""
    for number in _STANDARD_DESCRIPTORS:
        try:
            os.fstat(number)
        except OSError:  # `open` takes the lowest free number, which is this one.
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)


def _require_utf8_file_names() -> None:
    """Restart this process in UTF-8 mode if file names are not UTF-8.

    The standard streams keep their encoding.
    """
    if sys.getfilesystemencoding() == "utf-8" or os.environ.get("PYTHONUTF8") == "1" or not sys.executable:
        return
    os.environ["PYTHONUTF8"] = "1"
    os.environ.setdefault("PYTHONIOENCODING", getattr(sys.stdout, "encoding", None) or "utf-8")
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


class _LossyFile(io.FileIO):
    """A file that drops bytes that cannot be written.

    Attributes:
        error: The last error of a write, or None.
    """

    error: OSError | None = None

    def write(self, content: Any) -> int:
        """Write bytes and return how many of them are written or dropped."""
        try:
            while (written := super().write(content)) is None:  # The file is non-blocking and its pipe is full.
                select.select([], [self], [])
        except OSError as error:
            self.error = error
            return len(content)
        return written


class _NullStream(io.TextIOBase):
    """A replacement for a missing text stream, which drops everything."""

    def write(self, text: str) -> int:
        """Drop text and return its length."""
        return len(text)


@contextlib.contextmanager
def _lossy_stream(name: str) -> Iterator[Any]:
    """Replace a standard stream by one that never fails, inside the context."""
    before = getattr(sys, name)
    errors = getattr(before, "errors", None)
    stream = _make_lossy(name)
    setattr(sys, name, stream)
    try:
        yield stream
    finally:
        stream.flush()
        setattr(sys, name, before)
        if stream is before and isinstance(before, io.TextIOWrapper):
            before.reconfigure(errors=errors)


def _make_lossy(name: str) -> Any:
    """Return a version of a standard stream whose writes never fail.

    A stream that the caller has substituted is kept. Characters that it cannot encode are written as escapes.
    """
    stream = getattr(sys, name)
    if stream is None or stream.closed:
        return _NullStream()
    if stream is not getattr(sys, f"__{name}__") or os.name != "posix":
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
        return stream
    with contextlib.suppress(OSError):
        stream.flush()
    return io.TextIOWrapper(
        io.BufferedWriter(_LossyFile(stream.fileno(), "w", closefd=False)),
        encoding=stream.encoding,
        errors="backslashreplace",
        line_buffering=stream.line_buffering or stream.write_through,
    )


def _find_output_error(stream: Any) -> str | None:
    """Return the reason for lost output, or None.

    Output that is lost because the reader has closed the pipe does not count.
    """
    raw = getattr(getattr(stream, "buffer", None), "raw", None)
    if not isinstance(raw, _LossyFile):
        return None
    stream.flush()
    return None if raw.error is None or raw.error.errno == errno.EPIPE else raw.error.strerror
