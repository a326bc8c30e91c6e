"""Protocol of an evaluation: everything that its metrics depend on beside the generator."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

_KEYS = (
    *("num_samples", "extractor", "preprocessing", "reference", "held_out", "seed", "evaluation_labels", "precision"),
)
DEFAULTS = {"evaluation_labels": "uniform"}
"""Values in records without these keys: records of earlier versions, or of a generator without labels."""


def get_protocol(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return the protocol of an evaluation record. Values are compared only if all of it is equal."""
    return DEFAULTS | {key: record[key] for key in _KEYS if key in record}


def select_training_evaluations(lines: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Select the evaluations that a run has made while it trained.

    They are those of the EMA generator with the protocol of the first one. `sagan_tf.evaluate` appends others to the
    same file, with other metrics, references or seeds.

    Args:
        lines: Lines of `metrics.jsonl`.
    """
    evaluations = [
        line for line in lines if line["kind"] == "evaluation" and line.get("generator_weights", "ema") == "ema"
    ]
    return [line for line in evaluations if get_protocol(line) == get_protocol(evaluations[0])]
