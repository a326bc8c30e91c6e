"""Flags made from the configuration: dataclass fields -> command line, flagfile and `--help` -> dataclasses.

The only file that knows absl.flags. A private `FlagValues` keeps the flags that libraries define out of `--help` and
out of a run's `flags.cfg`. Nothing here loads TensorFlow: `--help` and a mistyped flag answer at once. A door:

    def run(argv: Sequence[str] | None = None) -> int:
        return run_door("sagan_tf.train", __doc__, main, Config, argv=argv)
"""

from __future__ import annotations

import dataclasses
import difflib
import pathlib
import sys
import textwrap
import typing
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from absl import flags as absl_flags

from sagan_tf.cli.console import run_command
from sagan_tf.config import Config
from sagan_tf.config.flagfile import FlagError, expand_flagfiles
from sagan_tf.config.option_text import OptionText
from sagan_tf.errors import RunEnded, UserError
from sagan_tf.text import one_line

__all__ = ["FlagError", "Flags", "config_to_flagfile", "parse_config", "run_door"]

_HELP_FLAGS = ("--help", "-help", "-h")
_HELP_WIDTH = 100
_LONGEST_MESSAGE, _LONGEST_NAME = 4000, 100


def parse_config(argv: Sequence[str]) -> Config:
    """Return the configuration that `argv` (without the program's name) describes; raise UserError."""
    (config,) = Flags(Config).parse(argv)
    return config


def config_to_flagfile(config: Config) -> str:
    """Return a flagfile with every flag of `config`: parsing `--flagfile` with it gives an equal `Config`."""
    return Flags(Config).to_flagfile(config)


def run_door(
    program: str,
    summary: str | None,
    main: Callable[..., None],
    *kinds: type,
    argv: Sequence[str] | None = None,
    check: Callable[..., None] | None = None,
    prints_result: bool = False,
) -> int:
    """Run a command: parse its flags, call `main`, and report a user's error as one line on standard error.

    Args:
        program: the module's name, as in `python -m <program>`.
        summary: what the door does, shown by `--help`: its module's docstring.
        main: called with one object for each of `kinds`.
        *kinds: the dataclasses that the flags are made from, see `Flags`.
        argv: the arguments without the program's name; None takes the process's own.
        check: called first, with the same objects and `Flags.flagfiles`; raises UserError to end the program.
        prints_result: whether standard output is the result, see `console.run_command`.

    Returns:
        The exit status: 0, 1 if the result could not be written to standard output, 2 for a user's mistake, 130 when
        interrupted from the keyboard, 128 + number for a signal, 75 when another worker was lost.
    """
    arguments = sys.argv[1:] if argv is None else argv
    asks_for_help = any(argument in _HELP_FLAGS for argument in arguments)
    usage = f"usage: python -m {program} [--flagfile=FILE] [--name=value ...]"

    def run() -> int:
        try:
            flags = Flags(*kinds)
            if asks_for_help:
                sys.stdout.write(f"{usage}\n\n{(summary or '').strip()}\n\n{flags.help()}")
            else:
                objects = flags.parse(arguments)
                if check is not None:
                    check(*objects, flags.flagfiles)
                main(*objects)
        except UserError as error:
            if isinstance(error, FlagError):
                sys.stderr.write(f"{usage}; --help shows every flag\n")
            sys.stderr.write(f"{program}: error: {_shorten(one_line(str(error)))}\n")
            return 2
        except RunEnded as ended:
            sys.stderr.write(f"{program}: {ended}\n")
            return ended.status
        except KeyboardInterrupt:
            sys.stderr.write(f"{program}: interrupted\n")
            return 130
        return 0

    return run_command(program, run, prints_result=prints_result or asks_for_help, restart=argv is None)


class Flags:
    """The flags of some dataclasses.

    Args:
        *kinds: frozen dataclasses whose fields are made with `config.option`, or whose fields are such dataclasses, as
            those of `Config` are; their types are those that `OptionText` knows. No name may occur twice.

    Attributes:
        flagfiles: After `parse`, the flagfile that a flag has its value from, by the flag's name; None if it was given
            on the command line. Flags that were not given are missing.
    """

    def __init__(self, *kinds: type) -> None:
        self._kinds = kinds
        self.flagfiles: dict[str, pathlib.Path | None] = {}
        self._values = absl_flags.FlagValues()
        self._values.set_gnu_getopt(True)  # a stray argument does not end the flags: the flags' mistakes come first
        for _, part in self._sections():
            for field, option_text in _option_texts(part):
                # No default here: a flag that is not given leaves the dataclass its own.
                self._values[field.name] = absl_flags.Flag(
                    _Parser(option_text), None, field.name, None, "", boolean=option_text.is_bool
                )

    def parse(self, argv: Sequence[str]) -> tuple[Any, ...]:
        """One object for each kind, from arguments without the program's name.

        Raises:
            FlagError: a flag is unknown or its value does not fit.
            UserError: a flagfile cannot be read.
        """
        self._values.unparse_flags()
        expanded = list(expand_flagfiles(argv))
        arguments = [argument for argument, _ in expanded]
        self.flagfiles = {argument.lstrip("-").partition("=")[0]: path for argument, path in expanded}
        self._check_names(arguments)
        try:
            leftover = self._values(["", *arguments])[1:]
            if leftover:
                raise FlagError(f"expected --name=value, received {leftover[0]!r}")
            return tuple(self._build(kind) for kind in self._kinds)
        except (absl_flags.Error, ValueError) as error:
            raise FlagError(str(error).removeprefix("flag ")) from error

    def to_flagfile(self, *objects: Any) -> str:
        """Return every flag of `objects`, one object for each kind, one `--name=value` on a line."""
        values = {name: value for whole in objects for name, value in _option_values(whole)}
        lines = []
        for heading, part in self._sections():
            lines.append(f"# {heading}")
            lines += [f"--{field.name}={text.write(values[field.name])}" for field, text in _option_texts(part)]
        return "\n".join(lines) + "\n"

    def help(self) -> str:
        """Return what `--help` shows below the summary: every flag with its values, default and meaning."""
        about_flagfiles = (
            "Reads flags from FILE, one on a line; a line that starts with # is a comment. What comes later wins. "
            "A --flagfile line in FILE is relative to FILE."
        )
        paragraphs = [_help_entry("--flagfile=FILE", about_flagfiles)]
        for heading, part in self._sections():
            entries = [_option_help(field, option_text) for field, option_text in _option_texts(part)]
            paragraphs.append("\n".join([heading, *entries]))
        return "\n\n".join(paragraphs) + "\n"

    def _sections(self) -> list[tuple[str, type]]:
        return [section for kind in self._kinds for section in _sections(kind)]

    def _build(self, kind: type) -> Any:
        if _is_group(kind):
            return kind(**{name: self._build(part) for name, part in typing.get_type_hints(kind).items()})
        names = [field.name for field in dataclasses.fields(kind)]
        return kind(**{name: self._values[name].value for name in names if self._values[name].present})

    def _check_names(self, arguments: Sequence[str]) -> None:
        """Raise FlagError for a flag that there is not. absl has flags of its own, one of which lets others pass."""
        booleans = [name for name in self._values if self._values[name].boolean]
        known = {*self._values, *(f"no{name}" for name in booleans)}
        left = iter(arguments)
        for argument in left:
            name, equals, _ = argument.removeprefix("-").removeprefix("-").partition("=")
            if not argument.startswith("-") or not name:
                return  # no flag: what is left over
            if name not in known:
                shown = name[:_LONGEST_NAME]
                close = difflib.get_close_matches(shown, ["flagfile", "help", *sorted(known)], n=1)
                raise FlagError(f"unknown flag --{shown}" + (f"; did you mean --{close[0]}?" if close else ""))
            if not equals and name in self._values and name not in booleans:
                next(left, None)  # its value


class _Parser(absl_flags.ArgumentParser):
    """What absl calls with a flag's text."""

    def __init__(self, option_text: OptionText) -> None:
        self.parse = option_text.parse


def _is_group(kind: type) -> bool:
    """Return whether the fields of `kind` are dataclasses of options instead of options."""
    return all(dataclasses.is_dataclass(hint) for hint in typing.get_type_hints(kind).values())


def _sections(kind: type) -> list[tuple[str, type]]:
    """Return the dataclasses of options in `kind`, each with its heading in `--help` and in a flagfile."""
    if _is_group(kind):
        fields = typing.get_type_hints(kind).items()
        return [(f"{name.capitalize()}: {heading}", part) for name, hint in fields for heading, part in _sections(hint)]
    return [((kind.__doc__ or kind.__name__).splitlines()[0], kind)]


def _option_values(whole: Any) -> Iterator[tuple[str, Any]]:
    for field in dataclasses.fields(whole):
        value = getattr(whole, field.name)
        if dataclasses.is_dataclass(value):
            yield from _option_values(value)
        else:
            yield field.name, value


def _option_texts(part: type) -> Iterator[tuple[dataclasses.Field[Any], OptionText]]:
    hints = typing.get_type_hints(part)
    for field in dataclasses.fields(part):
        yield field, OptionText(hints[field.name], field.metadata["choices"])


def _option_help(field: dataclasses.Field[Any], option_text: OptionText) -> str:
    name = f"--[no]{field.name}" if option_text.is_bool else f"--{field.name}={option_text.placeholder()}"
    default = option_text.write(field.default) or "empty"
    return _help_entry(f"{name} (default: {default})", field.metadata["help"])


def _help_entry(head: str, text: str) -> str:
    indent = " " * 6
    body = textwrap.fill(text, _HELP_WIDTH, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False)
    return f"  {head}\n{body}"


def _shorten(line: str) -> str:
    """Return a message without its middle if it is too long: most often of one word, with the reason after it."""
    half = _LONGEST_MESSAGE // 2
    return line if len(line) <= _LONGEST_MESSAGE else f"{line[:half]} ... {line[-half:]}"
