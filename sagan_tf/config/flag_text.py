"""Options as text: dataclasses of options to `--name=value` lines and back, without the command line."""

from __future__ import annotations

import dataclasses
import difflib
import os
import typing
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeVar

from sagan_tf.config.flagfile import FlagError, expand_flagfiles, split_flag
from sagan_tf.config.option_text import OptionText

_Options = TypeVar("_Options")


def list_sections(option_class: type) -> list[tuple[str, type]]:
    """Return the dataclasses of options in a dataclass, each with its heading.

    The heading is used in `--help` and in flagfiles.

    Args:
        option_class: A dataclass whose fields are made with `config.option`, or are such dataclasses.
    """
    if _has_groups(option_class):
        return [
            (f"{name.capitalize()}: {heading}", group)
            for name, hint in typing.get_type_hints(option_class).items()
            for heading, group in list_sections(hint)
        ]
    return [((option_class.__doc__ or option_class.__name__).splitlines()[0], option_class)]


def list_option_texts(group: type) -> Iterator[tuple[dataclasses.Field[Any], OptionText]]:
    """Yield every field of a dataclass of options, and the conversion between its values and text."""
    hints = typing.get_type_hints(group)
    for field in dataclasses.fields(group):
        yield field, OptionText(hints[field.name], field.metadata["choices"])


def build_options(option_class: type[_Options], values: Mapping[str, Any]) -> _Options:
    """Create a dataclass of options, or of such dataclasses, from values by name.

    Options without a value keep their defaults. Values of other options are ignored.
    """
    if _has_groups(option_class):
        groups = typing.get_type_hints(option_class).items()
        return option_class(**{name: build_options(group, values) for name, group in groups})
    names = [field.name for field in dataclasses.fields(option_class)]  # type: ignore[arg-type]
    return option_class(**{name: values[name] for name in names if name in values})


def format_options(*objects: Any) -> str:
    """Return the text of a flagfile that has every option of some objects.

    Args:
        *objects: Dataclasses of options, or of such dataclasses.

    Returns:
        Text with one `--name=value` on a line, in sections that start with a comment. `read_options` returns objects
        that are equal to these.
    """
    lines = []
    for options in objects:
        values = dict(_list_values(options))
        for heading, group in list_sections(type(options)):
            lines.append(f"# {heading}")
            lines += [f"--{field.name}={text.format(values[field.name])}" for field, text in list_option_texts(group)]
    return "\n".join(lines) + "\n"


def read_options(
    option_class: type[_Options], flagfile: str | os.PathLike[str], overrides: Mapping[str, Any]
) -> _Options:
    """Create a dataclass of options from a flagfile.

    Args:
        option_class: The dataclass.
        flagfile: Path of the flagfile, which may name further flagfiles.
        overrides: Values by name that replace those of the flagfile.

    Raises:
        FlagError: An option is unknown, or its value is invalid.
        UserError: The flagfile cannot be read, or options do not fit together.
    """
    texts = _map_texts(option_class)
    arguments = [argument for argument, _ in expand_flagfiles([f"--flagfile={os.fspath(flagfile)}"])]
    values = {name: _parse_value(texts, name, text) for name, text in _split_arguments(arguments, texts)}
    return build_options(option_class, values | check_values(option_class, overrides))


def check_values(option_class: type, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return values of options as their flags would give them, such as a tuple in place of a list.

    Args:
        option_class: The dataclass of the options.
        values: Values by name of the option.

    Raises:
        FlagError: An option is unknown, or its value has another type.
    """
    texts = _map_texts(option_class)
    return {name: _parse_value(texts, name, _format_value(texts, name, value)) for name, value in values.items()}


def _map_texts(option_class: type) -> dict[str, OptionText]:
    return {field.name: text for _, group in list_sections(option_class) for field, text in list_option_texts(group)}


def _has_groups(option_class: type) -> bool:
    """Return whether the fields are dataclasses of options instead of options."""
    return all(dataclasses.is_dataclass(hint) for hint in typing.get_type_hints(option_class).values())


def _list_values(options: Any) -> Iterator[tuple[str, Any]]:
    for field in dataclasses.fields(options):
        value = getattr(options, field.name)
        if dataclasses.is_dataclass(value):
            yield from _list_values(value)
        else:
            yield field.name, value


def _split_arguments(arguments: Iterable[str], texts: Mapping[str, OptionText]) -> Iterator[tuple[str, str]]:
    """Yield the name and the text of each `--name=value`; a boolean may also be written `--name` or `--noname`."""
    for argument in arguments:
        name, text = split_flag(argument)
        if text is not None:
            yield name, text
        elif name in texts and texts[name].is_bool:
            yield name, "true"
        elif name.removeprefix("no") in texts and texts[name.removeprefix("no")].is_bool:
            yield name.removeprefix("no"), "false"
        else:
            _find(texts, name)
            raise FlagError(f"--{name}: expected a value, as in --{name}=VALUE")


def _format_value(texts: Mapping[str, OptionText], name: str, value: Any) -> str:
    text = _find(texts, name)
    try:
        return text.format(value)
    except (TypeError, ValueError) as error:
        raise FlagError(f"{name}: {value!r} is not a valid value ({error})") from error


def _parse_value(texts: Mapping[str, OptionText], name: str, text: str) -> Any:
    option_text = _find(texts, name)
    try:
        return option_text.parse(text)
    except ValueError as error:
        raise FlagError(f"{name}: {error}, received {text!r}") from error


def _find(texts: Mapping[str, OptionText], name: str) -> OptionText:
    if name in texts:
        return texts[name]
    close = difflib.get_close_matches(name, sorted(texts), n=1)
    raise FlagError(f"unknown option {name!r}" + (f"; did you mean {close[0]}?" if close else ""))
