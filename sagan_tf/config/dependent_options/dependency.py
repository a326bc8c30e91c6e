"""Rows of the tables of dependent options, and the check of options against a table."""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Callable, Collection, Mapping
from typing import Any

from sagan_tf.errors import UserError
from sagan_tf.text import join_comma_list


@dataclasses.dataclass(frozen=True)
class Dependency:
    """The condition under which some options have an effect: a row of a table.

    Attributes:
        options: The names of the options.
        condition: The condition in words, for the error message.
        is_met: A function that returns whether the condition is met. It is called with an object that has the value of
            every option and every fact as an attribute.
    """

    options: tuple[str, ...]
    condition: str
    is_met: Callable[[Any], bool]


def check_dependent_fields(
    table: tuple[Dependency, ...],
    *dataclass_instances: Any,
    unchecked: Collection[str] = (),
    facts: Mapping[str, Any] | None = None,
) -> None:
    """Check that every option with a value other than its default has an effect.

    Args:
        table: The rows of the command.
        *dataclass_instances: Objects whose fields are the options.
        unchecked: The names of options that are not checked.
        facts: Further values that the conditions use, by name.

    Raises:
        UserError: An option has no effect. The message names the option and the condition for its effect.
    """
    fields = {
        field.name: (field, getattr(instance, field.name))
        for instance in dataclass_instances
        for field in dataclasses.fields(instance)
    }
    values = {name: value for name, (_, value) in fields.items()} | dict(facts or {})
    _check_values(table, values, {name: field.default for name, (field, _) in fields.items()}, unchecked)


def _check_values(
    table: tuple[Dependency, ...],
    values: Mapping[str, Any],
    defaults: Mapping[str, Any],
    unchecked: Collection[str],
) -> None:
    """Check the options in `defaults`; `values` has every option and the facts that the conditions use."""
    namespace = types.SimpleNamespace(**values)
    for dependency in table:
        for name in dependency.options:
            is_checked = name not in unchecked and name in defaults and values[name] != defaults[name]
            if is_checked and not dependency.is_met(namespace):
                raise UserError(
                    f"{name}: --{name}={_format_value(values[name])} has no effect here; it needs "
                    f"{dependency.condition}"
                )


def _format_value(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return join_comma_list(map(str, value)) if isinstance(value, tuple) else str(value)
