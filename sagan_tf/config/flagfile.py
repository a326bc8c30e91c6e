"""Flagfiles: text files with one flag on a line, which may include other flagfiles."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Iterator, Sequence

from sagan_tf.errors import UserError
from sagan_tf.text import decode_text

_MAX_FLAGFILE_BYTES = 2**20
"""Far more than a flagfile needs, and small enough to be read at once."""
MAX_FLAGFILES = 100
"""The largest number of flagfiles for one command line.

Without a limit, files that each include the next one twice would take forever.
"""


class FlagError(UserError):
    """Raised for an error on the command line or in a flagfile."""


def split_flag(argument: str) -> tuple[str, str | None]:
    """Split a command-line argument into the name and the value of a flag.

    Args:
        argument: An argument such as `--name=value` or `--name`. One hyphen is equivalent to two.

    Returns:
        The name, which is empty if the argument is not a flag, and the value, which is None without `=`.
    """
    if not argument.startswith("-"):
        return "", None
    name, equals, value = argument.removeprefix("-").removeprefix("-").partition("=")
    return name, value if equals else None


def expand_flagfiles(
    argv: Sequence[str], including: tuple[pathlib.Path, ...] = (), remaining: Iterator[int] | None = None
) -> Iterator[tuple[str, pathlib.Path | None]]:
    """Replace every --flagfile argument by the lines of its file.

    The path of an included flagfile is relative to the file that includes it. (absl's own function takes it relative to
    the working directory.)

    Args:
        argv: The arguments without the name of the program.
        including: The files that include these arguments, from the outermost to the innermost.
        remaining: One element for each flagfile that may still be read; None at the start.

    Yields:
        Each argument with the flagfile that contains it; None for the command line.

    Raises:
        FlagError: A --flagfile has no file, or a line of a flagfile is not a flag.
        UserError: A flagfile cannot be read or includes itself, or there are too many of them.
    """
    remaining = iter(range(MAX_FLAGFILES)) if remaining is None else remaining
    arguments = iter(argv)
    for argument in arguments:
        name, value = split_flag(argument)
        if name != "flagfile":
            yield argument, including[-1] if including else None
            continue
        value = next(arguments, "") if value is None else value
        if not value:
            raise FlagError("--flagfile: no file is given; write --flagfile=FILE")
        directory = including[-1].parent if including else pathlib.Path()
        path = pathlib.Path(os.path.realpath(directory / os.path.expanduser(value)))
        if path in including:
            raise UserError(f"--flagfile={value}: the file includes itself")
        if next(remaining, None) is None:
            raise UserError(f"--flagfile={value}: more than {MAX_FLAGFILES} flagfiles are included")
        yield from expand_flagfiles(_read_flagfile(path), (*including, path), remaining)


def _read_flagfile(path: pathlib.Path) -> list[str]:
    flags = []
    for number, line in enumerate(map(str.strip, _read_flagfile_text(path).splitlines()), start=1):
        if line and not line.startswith(("#", "//")):
            if not line.startswith("-"):
                raise FlagError(f"{path}, line {number}: expected --name=value or a # comment, received {line!r}")
            flags.append(line)
    return flags


def _read_flagfile_text(path: pathlib.Path) -> str:
    try:
        if path.is_fifo():  # Opening a pipe would block until somebody writes to it.
            raise UserError(f"--flagfile={path}: is a pipe; pass a regular file")
        with path.open("rb") as file:
            content = file.read(_MAX_FLAGFILE_BYTES + 1)
        if len(content) > _MAX_FLAGFILE_BYTES:
            raise UserError(f"--flagfile={path}: has more than {_MAX_FLAGFILE_BYTES} bytes")
    except OSError as error:
        raise UserError(f"--flagfile={path}: cannot be read: {error.strerror}") from error
    text = decode_text(content, f"--flagfile={path}", errors="surrogateescape")  # Paths need not be UTF-8.
    if "\0" in text:
        raise UserError(f"--flagfile={path}: is not a text file")
    return text


def parse_flagfile(text: str) -> dict[str, str]:
    """Return the values of the `--name=value` lines of a `flags.cfg`, by name."""
    lines = (line.strip() for line in text.splitlines())
    return dict(line[2:].split("=", 1) for line in lines if line.startswith("--") and "=" in line)
