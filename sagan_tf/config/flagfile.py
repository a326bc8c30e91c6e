"""Flagfiles: files with one flag on a line, which may name other flagfiles."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Iterator, Sequence

from sagan_tf.errors import UserError
from sagan_tf.text import decode_text

_LARGEST_FLAGFILE = 2**20
"""Bytes: more than a flagfile ever has, and little enough to be read at once."""
_MOST_FLAGFILES = 100
"""On one command line: files that each name the next one twice would have no end."""


class FlagError(UserError):
    """An error on the command line or in a flagfile."""


def expand_flagfiles(
    argv: Sequence[str], including: tuple[pathlib.Path, ...] = (), left: Iterator[int] | None = None
) -> Iterator[tuple[str, pathlib.Path | None]]:
    """Yield `argv` with the lines of flagfiles in their place, each argument with the flagfile that it is in.

    absl's own reading takes nested paths from the working directory.
    """
    left = iter(range(_MOST_FLAGFILES)) if left is None else left
    arguments = iter(argv)
    for argument in arguments:
        name, equals, value = argument.partition("=")
        if name not in ("--flagfile", "-flagfile"):
            yield argument, including[-1] if including else None
            continue
        value = value if equals else next(arguments, "")
        if not value:
            raise FlagError("--flagfile: expected a file, received none")
        folder = including[-1].parent if including else pathlib.Path()
        path = pathlib.Path(os.path.realpath(folder / os.path.expanduser(value)))
        if path in including:
            raise UserError(f"--flagfile={value}: the file includes itself")
        if next(left, None) is None:
            raise UserError(f"--flagfile={value}: expected at most {_MOST_FLAGFILES} flagfiles, received more")
        yield from expand_flagfiles(_read_flagfile(path), (*including, path), left)


def _read_flagfile(path: pathlib.Path) -> list[str]:
    flags = []
    for number, line in enumerate(map(str.strip, _flagfile_text(path).splitlines()), start=1):
        if line and not line.startswith(("#", "//")):
            if not line.startswith("-"):
                raise FlagError(f"{path}, line {number}: expected --name=value or # and a comment, received {line!r}")
            flags.append(line)
    return flags


def _flagfile_text(path: pathlib.Path) -> str:
    try:
        if path.is_fifo():  # which would be waited for
            raise UserError(f"--flagfile={path}: expected a file, received a pipe")
        with path.open("rb") as file:
            content = file.read(_LARGEST_FLAGFILE + 1)
        if len(content) > _LARGEST_FLAGFILE:
            raise UserError(f"--flagfile={path}: expected at most {_LARGEST_FLAGFILE} bytes, received more")
    except OSError as error:
        raise UserError(f"--flagfile={path}: cannot be read: {error.strerror}") from error
    text = decode_text(content, f"--flagfile={path}", errors="surrogateescape")  # paths need not be UTF-8
    if "\0" in text:
        raise UserError(f"--flagfile={path}: expected text, received other bytes")
    return text


def read_flagfile(text: str) -> dict[str, str]:
    """Name -> value of the `--name=value` lines of a `flags.cfg`."""
    lines = (line.strip() for line in text.splitlines())
    return dict(line[2:].split("=", 1) for line in lines if line.startswith("--") and "=" in line)
