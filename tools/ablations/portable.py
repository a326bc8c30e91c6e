"""Texts of a study without paths of the machine, for pages that are published."""

from __future__ import annotations

import dataclasses
import re
import shlex
from collections.abc import Iterable
from pathlib import Path

from tools.ablations.options import AblationOptions
from tools.comparisons.cells import Cell

_ABSOLUTE_PATH = re.compile(r"(?<![^:=,])[/~][^:,]*")
"""A path from the root or from a home directory, alone or in a list or after a prefix such as `folder:`."""
_PATH_IN_MESSAGE = re.compile(
    r"""(?<=['"])[/~][^'"]+|(?<![\w.~/'"-])(?:/(?!/)|~[\w.-]*/)[^\s'",;:)]+(?: [^\s'",;:()/]+/[^\s'",;:)]*)*"""
)
"""A path in quotes, or one that ends before a sign, or before a space and a word without a slash. The two slashes of an
address begin no path."""
_REMOTE = "://"
_DATA = "--data_dir=DATA"
_IN_STUDY_COMMAND = ("settings", "seeds", "steps", "metrics", "evaluate_every")
"""Options that a command of a study has if they differ from their defaults."""


def format_portable_commands(cell: Cell) -> list[str]:
    """Format the commands that train and evaluate a cell, with its run directory relative to that of the study."""
    commands = cell.create_train_command(), cell.create_evaluate_command()
    return [
        shlex.join(["python", option, module, *(_make_flag_portable(flag, cell.directory) for flag in _join(flags))])
        for _, option, module, *flags in commands
    ]


def format_study_command(options: AblationOptions, base: str, *, has_data_dir: bool) -> str:
    """Format the command that trains a study, without paths of the machine.

    Args:
        options: The options of the study.
        base: Path of the flagfile of all settings.
        has_data_dir: Whether the base does not name the directory of the data.
    """
    flags = [f"--study={hide_directory(options.study)}", f"--base={hide_directory(base)}", *[_DATA] * has_data_dir]
    defaults = {field.name: field.default for field in dataclasses.fields(options)}
    for name in _IN_STUDY_COMMAND:
        value = getattr(options, name)
        if value != defaults[name]:
            flags.append(f"--{name}={','.join(value) if isinstance(value, tuple) else value}")
    return shlex.join(["python", "tools/ablation.py", *flags])


def _join(arguments: Iterable[str]) -> list[str]:
    """Return the flags in the arguments of a command, with `--name=value` for `--name value`."""
    flags: list[str] = []
    for argument in arguments:
        if flags and "=" not in flags[-1] and not argument.startswith("-"):
            flags[-1] += f"={argument}"
        else:
            flags.append(argument)
    return flags


def _make_flag_portable(argument: str, directory: Path) -> str:
    """Replace absolute paths in a flag of a command.

    The directory of the data is `DATA`, paths in the directory of the study are relative to it, and others are the name
    of the flag in capital letters.

    Args:
        argument: A flag, with `=` before its value if it has one.
        directory: The directory of the study.
    """
    flag, equals, value = argument.partition("=")
    name = flag.lstrip("-")
    if not equals:
        return argument
    if name == "data_dir":
        return _DATA
    if Path(value).is_relative_to(directory):
        return f"{flag}={Path(value).relative_to(directory)}"
    if name == "flagfile":
        return f"{flag}={hide_directory(value)}"
    return f"{flag}={hide_paths(value, name.upper())}"


def hide_directory(path: str) -> str:
    """Return a path that is relative as it is, and only the name of an absolute one."""
    return Path(path).name if Path(path).is_absolute() else path


def hide_paths(text: str, name: str) -> str:
    """Replace absolute paths in the value of an option, which may be a list or have a prefix, by a name."""
    return ",".join(part if _REMOTE in part else _ABSOLUTE_PATH.sub(name, part) for part in text.split(","))


def hide_paths_in_message(text: str, directory: Path) -> str:
    """Make paths in a directory relative to it, and replace other absolute paths in a sentence by `PATH`."""
    return _PATH_IN_MESSAGE.sub("PATH", text.replace(f"{directory}/", ""))
