"""Command-line flags made from the fields of option dataclasses.

The fields define the command line, flagfiles and `--help`, and parsing returns the dataclasses. This is the only module
that imports absl.flags. A private `FlagValues` keeps the flags that libraries define out of `--help` and out of a run's
`flags.cfg`. Nothing here imports TensorFlow, so that `--help` and a mistyped flag answer at once.
"""

from __future__ import annotations

import dataclasses
import difflib
import pathlib
import textwrap
from collections.abc import Iterable, Sequence
from typing import Any

from absl import flags as absl_flags

from sagan_tf.config import Config
from sagan_tf.config.flag_text import build_options, list_option_texts, list_sections
from sagan_tf.config.flagfile import FlagError, expand_flagfiles, split_flag
from sagan_tf.config.option_text import OptionText

__all__ = ["FlagError", "Flags", "parse_config"]

_HELP_WIDTH = 100
_MAX_NAME_LENGTH = 100


def parse_config(argv: Sequence[str]) -> Config:
    """Parse the flags of a run.

    Args:
        argv: The arguments without the name of the program.

    Returns:
        The configuration of the run.

    Raises:
        UserError: A flag, its value or a flagfile is invalid.
    """
    (config,) = Flags(Config).parse(argv)
    return config


class Flags:
    """The command-line flags of option dataclasses.

    Args:
        *option_classes: Frozen dataclasses whose fields are made with `config.option`, or whose fields are such
            dataclasses, like those of `Config`. The types of the options are those that `OptionText` supports. No name
            may occur twice.

    Attributes:
        flagfiles: The flagfile that set each option, by the name of the option, after `parse`; None for an option that
            was set on the command line. Options that were not set are missing.
    """

    def __init__(self, *option_classes: type) -> None:
        self._option_classes = option_classes
        self.flagfiles: dict[str, pathlib.Path | None] = {}
        self._values = absl_flags.FlagValues()
        self._values.set_gnu_getopt(True)  # A stray argument does not end the flags, so that bad flags are found first.
        for _, group in self._list_sections():
            for field, option_text in list_option_texts(group):
                # There is no default here: a flag that is not given keeps the default of the dataclass.
                self._values[field.name] = absl_flags.Flag(
                    _OptionTextParser(option_text), None, field.name, None, "", boolean=option_text.is_bool
                )

    def parse(self, argv: Sequence[str]) -> tuple[Any, ...]:
        """Parse command-line arguments.

        Args:
            argv: The arguments without the name of the program.

        Returns:
            One object for each of `option_classes`.

        Raises:
            FlagError: A flag is unknown or its value is invalid.
            UserError: A flagfile cannot be read.
        """
        self._values.unparse_flags()
        expanded = list(expand_flagfiles(argv))
        self.flagfiles = self._find_flagfiles(expanded)
        try:
            leftover = self._values(["", *(argument for argument, _ in expanded)])[1:]
            if leftover:
                raise FlagError(f"expected --name=value, received {leftover[0]!r}")
            values = {name: self._values[name].value for name in self._values if self._values[name].present}
            return tuple(build_options(option_class, values) for option_class in self._option_classes)
        except (absl_flags.Error, ValueError) as error:
            raise FlagError(str(error).removeprefix("flag ")) from error

    def format_help(self) -> str:
        """Return the text of `--help` below the summary, which describes all flags."""
        about_flagfiles = (
            "Reads flags from FILE, one on a line. A line that starts with # is a comment. The last value of a flag is "
            "used. A --flagfile line in FILE is relative to FILE."
        )
        paragraphs = [_format_entry("--flagfile=FILE", about_flagfiles)]
        for heading, group in self._list_sections():
            entries = [_format_option(field, option_text) for field, option_text in list_option_texts(group)]
            paragraphs.append("\n".join([heading, *entries]))
        return "\n\n".join(paragraphs) + "\n"

    def _list_sections(self) -> list[tuple[str, type]]:
        return [section for option_class in self._option_classes for section in list_sections(option_class)]

    def _find_flagfiles(self, arguments: Iterable[tuple[str, pathlib.Path | None]]) -> dict[str, pathlib.Path | None]:
        """Return the flagfile of the last flag of each option, and raise FlagError for an unknown flag.

        absl itself would accept its own flags. One of them, --undefok, makes it accept unknown flags.
        """
        options = {name: name for name in self._values}
        options |= {f"no{name}": name for name in self._values if self._values[name].boolean}
        flagfiles = {}
        remaining = iter(arguments)
        for argument, path in remaining:
            name, value = split_flag(argument)
            if not name:
                break  # `parse` reports an argument that is not a flag.
            if name not in options:
                shown = name[:_MAX_NAME_LENGTH]
                close = difflib.get_close_matches(shown, ["flagfile", "help", *sorted(options)], n=1)
                raise FlagError(f"unknown flag --{shown}" + (f"; did you mean --{close[0]}?" if close else ""))
            flagfiles[options[name]] = path
            if value is None and not self._values[options[name]].boolean:
                next(remaining, None)  # The next argument is the value of this flag.
        return flagfiles


class _OptionTextParser(absl_flags.ArgumentParser):
    """A parser of flag values for absl."""

    def __init__(self, option_text: OptionText) -> None:
        self.parse = option_text.parse


def _format_option(field: dataclasses.Field[Any], option_text: OptionText) -> str:
    name = f"--[no]{field.name}" if option_text.is_bool else f"--{field.name}={option_text.placeholder()}"
    default = option_text.format(field.default) or "empty"
    return _format_entry(f"{name} (default: {default})", field.metadata["help"])


def _format_entry(head: str, text: str) -> str:
    indent = " " * 6
    body = textwrap.fill(text, _HELP_WIDTH, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False)
    return f"  {head}\n{body}"
