"""The values of an evaluation's metrics, with the protocol that they were computed by."""

from __future__ import annotations

import dataclasses
from typing import Any

from sagan_tf.evaluation.metrics import Value, record_values, scalar_values


@dataclasses.dataclass(frozen=True)
class Result:
    """Values of metrics, and how they came about.

    Attributes:
        values: by name, in the order that was asked for.
        protocol: what a record says of them.
        lower_is_better: of the first metric.
    """

    values: dict[str, Value]
    protocol: dict[str, Any]
    lower_is_better: bool

    def record(self) -> dict[str, Any]:
        """Everything, to be written as JSON; the metrics' names are keys."""
        values: dict[str, Any] = {}
        for name, value in self.values.items():
            values |= record_values(name, value)
        return values | self.protocol

    def scalars(self) -> dict[str, float]:
        """Return the values as single numbers."""
        scalars: dict[str, float] = {}
        for name, value in self.values.items():
            scalars |= scalar_values(name, value)
        return scalars
