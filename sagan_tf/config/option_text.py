"""A hyper-parameter's value as text: what a command line, a flagfile and `--help` say for it."""

from __future__ import annotations

import math
import typing
from collections.abc import Callable
from typing import Any

from sagan_tf.text import join_comma_list, split_comma_list

__all__ = ["OptionText"]

_UNSET = "unset"
_BOOLEANS = {"true": True, "1": True, "false": False, "0": False}


class OptionText:
    """Text <-> value for one type of option.

    Args:
        hint: bool, int, float, str, a tuple of any length of one of these (a comma list, see
            `sagan_tf.text.split_comma_list`; the empty text is the empty tuple), or one of all these or None (the text
            `unset`).
        choices: the only texts allowed, in a comma list for each of its elements; None: no such limit.
    """

    def __init__(self, hint: Any, choices: tuple[str, ...] | None = None) -> None:
        self.is_optional = type(None) in typing.get_args(hint)
        if self.is_optional:
            (hint,) = (one for one in typing.get_args(hint) if one is not type(None))
        self.is_tuple = typing.get_origin(hint) is tuple
        self.is_bool = hint is bool
        self.choices = choices
        self._scalar = _ELEMENTS[typing.get_args(hint)[0]] if self.is_tuple else _SCALARS[hint]

    def parse(self, text: str) -> Any:
        """Return the value that `text` stands for; raise ValueError, which says what was expected."""
        if self.is_optional and text == _UNSET:
            return None
        elements = split_comma_list(text) if self.is_tuple else [text]
        try:
            values = tuple(map(self._parse_one, elements))
            return values if self.is_tuple else values[0]
        except ValueError as error:
            raise ValueError(f"expected {self._expectation()}") from error

    def write(self, value: Any) -> str:
        """Return the text from which `parse` makes `value`; raise ValueError if it needs several lines."""
        if value is None:
            return _UNSET
        if self.is_tuple:
            return _parse_line(join_comma_list(map(_write_one, value)))
        return _parse_line(_write_one(value))

    def placeholder(self) -> str:
        """Stands for the value in `--help`."""
        one = "|".join(self.choices) if self.choices else self._scalar.placeholder
        return f"{one},..." if self.is_tuple else one

    def _parse_one(self, text: str) -> Any:
        if self.choices and text not in self.choices:
            raise ValueError
        return self._scalar.parse(text)

    def _expectation(self) -> str:
        one = f"one of {', '.join(self.choices)}" if self.choices else self._scalar.expectation
        expectation = f"a comma list, each {one}" if self.is_tuple else one
        return f"{expectation}, or {_UNSET}" if self.is_optional else expectation


def _write_one(value: bool | int | float | str) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _parse_bool(text: str) -> bool:
    if text.lower() not in _BOOLEANS:
        raise ValueError
    return _BOOLEANS[text.lower()]


def _parse_number(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError
    return number


def _parse_line(text: str) -> str:
    # What a line of a flagfile can hold, so that a run's flags.cfg always replays it.
    if text != text.strip():
        raise ValueError(f"expected text on one line without blanks at its ends, received {text!r}")
    return _parse_element(text)


def _parse_element(text: str) -> str:
    # Blanks at its ends stay: in a comma list they are in quotation marks.
    if text.splitlines() not in ([], [text]):
        raise ValueError(f"expected text on one line, received {text!r}")
    return text


class _Scalar(typing.NamedTuple):
    parse: Callable[[str], Any]
    expectation: str
    placeholder: str


_SCALARS: dict[Any, _Scalar] = {
    bool: _Scalar(_parse_bool, "true or false", "true|false"),
    int: _Scalar(int, "a whole number", "INTEGER"),
    float: _Scalar(_parse_number, "a number", "NUMBER"),
    str: _Scalar(_parse_line, "text on one line without blanks at its ends", "TEXT"),
}
_ELEMENTS = _SCALARS | {str: _Scalar(_parse_element, "text on one line", "TEXT")}
"""The same for the elements of a comma list."""
