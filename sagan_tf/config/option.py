"""How a hyper-parameter is declared, and the checks of values that many of them share."""

from __future__ import annotations

import dataclasses
from typing import Any

from sagan_tf.errors import UserError

_TOO_LARGE = 2**31  # TensorFlow counts in 32 bits in places


def option(
    default: Any,
    help: str,
    *,
    choices: tuple[str, ...] | None = None,
    changeable: bool = False,
    added_later: bool = False,
) -> Any:
    """Declare a hyper-parameter.

    Args:
        default: its default value.
        help: one sentence or two, shown by `--help`.
        choices: the values allowed, when the set is closed.
        changeable: whether a run may be resumed with another value: true only for what does not decide the weights.
        added_later: whether runs that were begun before there was this option have its default value.
    """
    metadata = {"help": help, "choices": choices, "changeable": changeable, "added_later": added_later}
    return dataclasses.field(default=default, metadata=metadata)


def check_positive(part: Any, *names: str) -> None:
    """Raise UserError unless these fields are above 0."""
    for name in names:
        if not getattr(part, name) > 0:
            raise UserError(f"{name}: expected a number above 0, received {getattr(part, name)}")


def check_at_least_zero(part: Any, *names: str) -> None:
    """Raise UserError unless these fields are 0 or more."""
    for name in names:
        if not getattr(part, name) >= 0:
            raise UserError(f"{name}: expected 0 or more, received {getattr(part, name)}")


def check_fraction(part: Any, *names: str) -> None:
    """Raise UserError unless these fields are at least 0 and below 1."""
    for name in names:
        if not 0 <= getattr(part, name) < 1:
            raise UserError(f"{name}: expected at least 0 and below 1, received {getattr(part, name)}")


def check_part_of_whole(part: Any, *names: str) -> None:
    """Raise UserError unless these fields are above 0 and at most 1."""
    for name in names:
        if not 0 < getattr(part, name) <= 1:
            raise UserError(f"{name}: expected above 0 and at most 1, received {getattr(part, name)}")


def check_every_field(part: Any) -> None:
    """Raise UserError for a value that is not among its choices, or too large to count with."""
    for field in dataclasses.fields(part):
        value = getattr(part, field.name)
        for number in value if isinstance(value, tuple) else (value,):
            if isinstance(number, int) and number >= _TOO_LARGE:
                raise UserError(f"{field.name}: expected a number below {_TOO_LARGE}, received {number}")
        choices = field.metadata["choices"]
        if choices and getattr(part, field.name) not in choices:
            expected = ", ".join(choices)
            raise UserError(f"{field.name}: expected one of {expected}, received {getattr(part, field.name)!r}")
