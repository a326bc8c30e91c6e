"""A row of the tables, and the check of flags against a table."""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Callable, Collection, Mapping
from typing import Any

from sagan_tf.errors import UserError
from sagan_tf.text import join_comma_list


@dataclasses.dataclass(frozen=True)
class Effect:
    """A row of a table: what some flags need in order to change anything.

    Attributes:
        flags: Their names.
        needs: The flags with which they have an effect, for the message.
        holds: Whether that is so; called with an object that has the value of every flag as an attribute.
    """

    flags: tuple[str, ...]
    needs: str
    holds: Callable[[Any], bool]


def check_effects(
    table: tuple[Effect, ...], values: Mapping[str, Any], defaults: Mapping[str, Any], kept: Collection[str] = ()
) -> None:
    """Check that every flag with another value than its default has an effect.

    Args:
        table: The command's rows.
        values: The value of every flag by name, and whatever else the rows ask for.
        defaults: The default values of the flags that are checked.
        kept: Names of flags that are not checked.

    Raises:
        UserError: A flag has no effect; the message names the flag, and those with which it has one.
    """
    flags = types.SimpleNamespace(**values)
    for effect in table:
        for name in effect.flags:
            if name in kept or name not in defaults or values[name] == defaults[name] or effect.holds(flags):
                continue
            raise UserError(
                f"{name}: --{name}={_shown(values[name])} changes nothing here; it has an effect with {effect.needs}"
            )


def check_options(
    table: tuple[Effect, ...], *options: Any, kept: Collection[str] = (), facts: Mapping[str, Any] | None = None
) -> None:
    """Check the flags in dataclasses; see `check_effects`.

    Args:
        table: The command's rows.
        *options: Objects whose fields are the flags.
        kept: Names of flags that are not checked.
        facts: What else the rows ask for.
    """
    fields = {field.name: (field, getattr(one, field.name)) for one in options for field in dataclasses.fields(one)}
    values = {name: value for name, (_, value) in fields.items()}
    check_effects(table, values | dict(facts or {}), {name: field.default for name, (field, _) in fields.items()}, kept)


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return join_comma_list(map(str, value)) if isinstance(value, tuple) else str(value)
