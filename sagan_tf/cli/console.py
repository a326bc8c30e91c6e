"""The console of a process: standard streams and log lines."""

from __future__ import annotations

import contextlib
import errno
import io
import logging
import os
import re
import select
import sys
from collections.abc import Callable, Iterator
from typing import Any

from sagan_tf.errors import UserError
from sagan_tf.text import one_line

_STANDARD_DESCRIPTORS = (0, 1, 2)


_CONTROL_LETTERS = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]")  # not the ends of a traceback's lines


def run_command(
    program: str, main: Callable[[], int | None], *, prints_result: bool = False, restart: bool = True
) -> int:
    """Run a command with standard streams on which it cannot fail.

    The rules, for every command and tool:

    * A standard descriptor (0, 1 or 2) that is closed is opened on the null device. Otherwise the next file that is
      opened, a checkpoint perhaps, would get its number, and the messages of libraries would be written into it.
    * `sys.stdout` and `sys.stderr` exist, and write a character that their encoding lacks as an escape.
    * Output that cannot be written is dropped, and the command continues: a run is worth more than its log. Nothing is
      reported if the reader has gone away (`| head -1`) or the stream was closed at the start. Any other reason, such
      as a full disk, is reported in one line on standard error at the end. The status becomes 1 only where the lost
      output was the result of the command.
    * File names are UTF-8, whatever the locale: where Python would decode them otherwise, the process starts again in
      Python's UTF-8 mode.

    Args:
        program: The name of the command, for messages.
        main: The command. Returns its exit status, or exits with it, as `argparse` does.
        prints_result: Whether standard output is the result of the command, and not only its log.
        restart: Whether the process belongs to the command, and may therefore be started again in UTF-8 mode.

    Returns:
        The exit status, for `sys.exit`.
    """
    open_closed_descriptors()
    if restart:
        _require_utf8_file_names()
    with _lossy_stream("stdout") as stdout, _lossy_stream("stderr") as stderr:
        try:
            status = main() or 0
        except SystemExit as end:
            if not isinstance(end.code, int | None):
                raise
            status = end.code or 0
        lost = _lost_output(stdout)
        if lost is not None:
            stderr.write(f"{program}: {'error' if prints_result else 'warning'}: standard output was lost: {lost}\n")
            return status or int(prints_result)
        return status


def run_action(program: str, action: Callable[[], object], *expected: type[Exception]) -> int:
    """Run what a tool does; report an error of the user or of the system in one line on standard error.

    Args:
        program: The name of the tool, for the message.
        action: What the tool does.
        *expected: Further exceptions whose message is for users.

    Returns:
        The exit status: 0, or 2 after an error.
    """
    errors: tuple[type[Exception], ...] = (UserError, OSError, *expected)
    try:
        action()
    except errors as error:
        sys.stderr.write(f"{program}: error: {one_line(str(error))}\n")
        return 2
    return 0


def open_closed_descriptors() -> None:
    for number in _STANDARD_DESCRIPTORS:
        try:
            os.fstat(number)
        except OSError:  # the lowest number that is free, which is this one, is what `open` takes
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)


def _require_utf8_file_names() -> None:
    """Start this process again in UTF-8 mode if file names have another encoding; streams keep theirs."""
    if sys.getfilesystemencoding() == "utf-8" or os.environ.get("PYTHONUTF8") == "1" or not sys.executable:
        return
    os.environ["PYTHONUTF8"] = "1"
    os.environ.setdefault("PYTHONIOENCODING", getattr(sys.stdout, "encoding", None) or "utf-8")
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


class _LossyFile(io.FileIO):
    """A file that drops what cannot be written, and keeps the reason."""

    error: OSError | None = None

    def write(self, content: Any) -> int:
        """Write bytes; return how many of them need not be written again."""
        try:
            while (written := super().write(content)) is None:  # the file is non-blocking, and its pipe is full
                select.select([], [self], [])
        except OSError as error:
            self.error = error
            return len(content)
        return written


class _NullStream(io.TextIOBase):
    """A text stream in place of one that is missing; drops everything."""

    def write(self, text: str) -> int:
        """Drop text; return its length."""
        return len(text)


@contextlib.contextmanager
def _lossy_stream(name: str) -> Iterator[Any]:
    """Replace a standard stream by one that never fails, until the context ends; then restore the caller's stream."""
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
    """Return a standard stream that never fails.

    A stream that the caller has substituted is kept, with escapes for characters it cannot encode.
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


def _lost_output(stream: Any) -> str | None:
    """Return why output was lost; None if it was not, or if its reader has gone away."""
    raw = getattr(getattr(stream, "buffer", None), "raw", None)
    if not isinstance(raw, _LossyFile):
        return None
    stream.flush()
    return None if raw.error is None or raw.error.errno == errno.EPIPE else raw.error.strerror


def log_to_console() -> None:
    """Show the package's log on standard output, warnings marked as such."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(_Format())
    logger = logging.getLogger("sagan_tf")
    logger.handlers = [handler]
    logger.setLevel(logging.INFO)
    logger.propagate = False


class _Format(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        message = _CONTROL_LETTERS.sub(lambda found: f"\\x{ord(found[0]):02x}", super().format(record))
        return message if record.levelno < logging.WARNING else f"{record.levelname.lower()}: {message}"
