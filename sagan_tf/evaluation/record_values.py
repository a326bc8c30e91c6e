"""Entries of metrics in records, and their scalars."""

from __future__ import annotations

from sagan_tf.evaluation.metric_family import Value


def to_record_values(name: str, value: Value) -> dict[str, Value]:
    """Return the entries of a metric in a record.

    The name of the metric is a key; a standard error has a key of its own.
    """
    if isinstance(value, dict) and "value" in value:
        return {name if part == "value" else f"{name}_{part}": number for part, number in value.items()}
    return {name: value}


def to_scalar_values(name: str, value: Value) -> dict[str, float]:
    """Return the entries of a metric as scalars, with a name for each part of a value."""
    scalars: dict[str, float] = {}
    for key, entry in to_record_values(name, value).items():
        if isinstance(entry, dict):
            scalars |= {f"{key}/{part}": number for part, number in entry.items()}
        else:
            scalars[key] = entry
    return scalars
