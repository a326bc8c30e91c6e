"""The result of an evaluation: values of metrics with the protocol that they were computed by."""

from __future__ import annotations

import dataclasses
from typing import Any

from sagan_tf.evaluation.metrics import Value
from sagan_tf.evaluation.record_values import to_record_values, to_scalar_values


@dataclasses.dataclass(frozen=True)
class EvaluationResult:
    """Values of metrics with their protocol.

    Attributes:
        values: Values by the name of the metric, in the requested order.
        protocol: Entries of the record that describe how the values were computed.
        lower_is_better: Whether lower values of the first metric are better. False also for a metric without a better
            direction.
    """

    values: dict[str, Value]
    protocol: dict[str, Any]
    lower_is_better: bool

    def to_record(self) -> dict[str, Any]:
        """Return a record for JSON: values by the names of metrics, and the protocol."""
        values: dict[str, Any] = {}
        for name, value in self.values.items():
            values |= to_record_values(name, value)
        return values | self.protocol

    def to_scalars(self) -> dict[str, float]:
        """Return the values as scalars by name, those of the first metric first."""
        scalars: dict[str, float] = {}
        for name, value in self.values.items():
            scalars |= to_scalar_values(name, value)
        return scalars
