"""Texts of a study without paths of the machine, for pages that are published."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from tools.comparisons.cells import Cell

_ABSOLUTE_PATH = re.compile(r"(?<![^:=,])[/~][^:,]*")
"""A path from the root or from a home directory, alone or in a list or after a prefix such as `folder:`."""
_REMOTE = "://"


def format_portable_command(cell: Cell) -> str:
    """Format the command that trains a cell, with its run directory relative to that of the study.

    Directories of the data are `DATA`, other absolute paths of flags are the flag's name in capital letters.
    """
    _, *arguments = cell.create_train_command()
    return shlex.join(["python", *(_make_portable(argument, cell.directory) for argument in arguments)])


def _make_portable(argument: str, directory: Path) -> str:
    flag, equals, value = argument.partition("=")
    name = flag.lstrip("-")
    if not equals:
        return argument
    if name == "data_dir":
        return f"{flag}=DATA"
    if name == "run_dir":
        return f"{flag}={Path(value).relative_to(directory)}"
    if name == "flagfile":
        return f"{flag}={hide_directory(value)}"
    return f"{flag}={hide_paths(value, name.upper())}"


def hide_directory(path: str) -> str:
    """Return a path that is relative as it is, and only the name of an absolute one."""
    return Path(path).name if Path(path).is_absolute() else path


def hide_paths(text: str, name: str) -> str:
    """Replace absolute paths in the value of an option, which may be a list or have a prefix, by a name."""
    return text if _REMOTE in text else _ABSOLUTE_PATH.sub(name, text)
