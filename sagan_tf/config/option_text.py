"""Conversion of option values to and from the text of flags."""

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
    """A converter between text and values for one type of option.

    Args:
        hint: The type: bool, int, float, str, a tuple of any length of one of these (a comma list, see
            `sagan_tf.text.split_comma_list`; the empty text is the empty tuple), or one of these types or None, whose
            text is `unset`.
        choices: The allowed texts, in a comma list those of each element; None if every text is allowed.
    """

    def __init__(self, hint: Any, choices: tuple[str, ...] | None = None) -> None:
        self.is_optional = type(None) in typing.get_args(hint)
        if self.is_optional:
            (hint,) = (argument for argument in typing.get_args(hint) if argument is not type(None))
        self.is_tuple = typing.get_origin(hint) is tuple
        self.is_bool = hint is bool
        self.choices = choices
        self._scalar = _ELEMENTS[typing.get_args(hint)[0]] if self.is_tuple else _SCALARS[hint]

    def parse(self, text: str) -> Any:
        """Convert text to a value.

        Raises:
            ValueError: The text has no value of this type. The message says what was expected.
        """
        if self.is_optional and text == _UNSET:
            return None
        elements = split_comma_list(text) if self.is_tuple else [text]
        try:
            values = tuple(map(self._parse_element, elements))
            return values if self.is_tuple else values[0]
        except ValueError as error:
            raise ValueError(f"expected {self._describe_type()}") from error

    def format(self, value: Any) -> str:
        """Convert a value to the text from which `parse` makes it.

        Raises:
            ValueError: The text would have several lines, or text is given in place of a tuple.
        """
        if value is None:
            return _UNSET
        if self.is_tuple and isinstance(value, str):  # otherwise each character would become an element
            raise ValueError("expected a list or a tuple")
        if self.is_tuple:
            return _parse_line(join_comma_list(map(_format_element, value)))
        return _parse_line(_format_element(value))

    def placeholder(self) -> str:
        """Return the text that represents the value in `--help`."""
        element = "|".join(self.choices) if self.choices else self._scalar.placeholder
        return f"{element},..." if self.is_tuple else element

    def _parse_element(self, text: str) -> Any:
        if self.choices and text not in self.choices:
            raise ValueError
        return self._scalar.parse(text)

    def _describe_type(self) -> str:
        element = f"one of {', '.join(self.choices)}" if self.choices else self._scalar.description
        description = f"a comma list, each {element}" if self.is_tuple else element
        return f"{description}, or {_UNSET}" if self.is_optional else description


def _format_element(value: bool | int | float | str) -> str:
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
    # A line of a flagfile must be able to hold the text, so that the flags.cfg of a run always replays the run.
    if text != text.strip():
        raise ValueError(f"expected text on one line without blanks at its ends, received {text!r}")
    return _parse_list_element(text)


def _parse_list_element(text: str) -> str:
    # Blanks at the ends are kept: a comma list has them in quotation marks.
    if text.splitlines() not in ([], [text]):
        raise ValueError(f"expected text on one line, received {text!r}")
    return text


class _Scalar(typing.NamedTuple):
    """A type that is not a tuple."""

    parse: Callable[[str], Any]
    description: str
    placeholder: str


_SCALARS: dict[Any, _Scalar] = {
    bool: _Scalar(_parse_bool, "true or false", "true|false"),
    int: _Scalar(int, "a whole number", "INTEGER"),
    float: _Scalar(_parse_number, "a number", "NUMBER"),
    str: _Scalar(_parse_line, "text on one line without blanks at its ends", "TEXT"),
}
_ELEMENTS = _SCALARS | {str: _Scalar(_parse_list_element, "text on one line", "TEXT")}
"""The types of the elements of a comma list."""
