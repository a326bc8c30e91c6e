"""Declaration of options, and checks of their values."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection
from typing import Any

from sagan_tf.errors import UserError

_MAX_INTEGER = 2**31 - 1
"""Some operations of TensorFlow count in 32-bit integers."""


def option(
    default: Any,
    help: str,
    *,
    choices: tuple[str, ...] | None = None,
    changeable: bool = False,
    added_later: bool = False,
) -> Any:
    """Declare an option as a field of a dataclass.

    Args:
        default: The default value.
        help: One or two sentences for `--help`.
        choices: The allowed values; None if there is no fixed set.
        changeable: Whether a run may be resumed with another value. True only for options that do not determine the
            weights.
        added_later: Whether the option is newer than some existing runs. Those runs have its default value.

    Returns:
        The field. Its metadata holds all arguments but the default.
    """
    metadata = {"help": help, "choices": choices, "changeable": changeable, "added_later": added_later}
    return dataclasses.field(default=default, metadata=metadata)


def check_given(options: Any, *names: str) -> None:
    """Raise UserError if a named field is empty."""
    for name in names:
        if not getattr(options, name):
            raise UserError(f"{name}: missing; set it with --{name}")


def check_positive(options: Any, *names: str) -> None:
    """Raise UserError unless the named fields are above 0."""
    for name in names:
        if not getattr(options, name) > 0:
            raise UserError(f"{name}: expected a number above 0, received {getattr(options, name)}")


def check_at_least_zero(options: Any, *names: str) -> None:
    """Raise UserError unless the named fields are 0 or more."""
    for name in names:
        if not getattr(options, name) >= 0:
            raise UserError(f"{name}: expected 0 or more, received {getattr(options, name)}")


def check_fraction_below_one(options: Any, *names: str) -> None:
    """Raise UserError unless the named fields are at least 0 and below 1."""
    for name in names:
        if not 0 <= getattr(options, name) < 1:
            raise UserError(f"{name}: expected at least 0 and below 1, received {getattr(options, name)}")


def check_fraction_above_zero(options: Any, *names: str) -> None:
    """Raise UserError unless the named fields are above 0 and at most 1."""
    for name in names:
        if not 0 < getattr(options, name) <= 1:
            raise UserError(f"{name}: expected above 0 and at most 1, received {getattr(options, name)}")


def check_registered(option: str, name: str, registry: Collection[str]) -> None:
    """Raise UserError for the value of an option that a registry lacks."""
    if name not in registry:
        raise UserError(f"{option}: expected one of {', '.join(registry)}, received {name!r}")


def check_every_field(options: Any) -> None:
    """Raise UserError for a value outside its choices or of a wrong kind.

    Text in place of a tuple and integers over 32 bits are of a wrong kind.
    """
    for field in dataclasses.fields(options):
        value = getattr(options, field.name)
        if isinstance(field.default, tuple) and isinstance(value, str):
            raise UserError(f"{field.name}: expected a list or a tuple, received {value!r}")
        for number in value if isinstance(value, tuple) else (value,):
            if isinstance(number, int) and number > _MAX_INTEGER:
                raise UserError(f"{field.name}: expected at most {_MAX_INTEGER}, received {number}")
        choices = field.metadata["choices"]
        if choices and value not in choices:
            raise UserError(f"{field.name}: expected one of {', '.join(choices)}, received {value!r}")
