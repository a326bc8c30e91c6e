"""Protocol of an evaluation: everything that its metrics depend on beside the generator."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

DURING_TRAINING = "during_training"
"""Key of the evaluations that training makes."""
DEFAULT_PROTOCOL = {"evaluation_labels": "uniform"}
"""Values in records without these keys: records of earlier versions, or of a generator without labels."""
_KEYS = (
    "num_samples",
    "extractor",
    "preprocessing",
    "reference",
    "held_out",
    "seed",
    "evaluation_labels",
    "precision",
)


def get_protocol(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return the protocol of an evaluation record. Compare values of two records only if their protocols are equal."""
    return DEFAULT_PROTOCOL | {key: record[key] for key in _KEYS if key in record}


def select_training_evaluations(lines: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Select the evaluations that training made. `sagan_tf.evaluate` appends its evaluations to the same file.

    If the first evaluation is of a version that did not record `DURING_TRAINING`, those of the EMA generator with its
    protocol are selected, too.

    Args:
        lines: Lines of `metrics.jsonl`.
    """
    evaluations = [
        line for line in lines if line["kind"] == "evaluation" and line.get("generator_weights", "ema") == "ema"
    ]
    marked = [line for line in evaluations if DURING_TRAINING in line]
    if not evaluations or evaluations[0] in marked:
        return marked
    return [line for line in evaluations if line in marked or get_protocol(line) == get_protocol(evaluations[0])]
