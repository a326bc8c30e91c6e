"""Records of the cells of the quality benchmark: their states, what they hold and which run they are of."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from sagan_tf.cli.flags import config_to_flagfile
from sagan_tf.config import Config
from sagan_tf.config.flagfile import read_flagfile
from sagan_tf.errors import UserError
from sagan_tf.text import read_text
from sagan_tf.training.health.signs import HELD_OUT_GAP, LATENT_RANK, OVERFITTING

FINISHED, UNFINISHED = "finished", "unfinished"
UNHEALTHY = "unhealthy"
"""A sign of health, or a number that is not finite, stopped the run. It would stop again."""
FAILED = "failed"
"""A command failed for another reason, such as a wrong flag or a full disk. It is tried again."""
_UNHEALTHY = re.compile(r"error: (on_unhealthy: |training: expected finite )")
"""How the error of a run that is `UNHEALTHY` begins."""
_SET_BY_CELL = ("run_dir", "seed", "num_steps")
"""Options of a run that do not come from the flags of its setting."""


class Reading(NamedTuple):
    """A reading of a run's health that the record of a cell has.

    Attributes:
        scalar: Its name in `metrics.jsonl`.
        heading: Its heading in the table.
        form: How the table shows a number.
    """

    scalar: str
    heading: str
    form: str


READINGS = {
    "stable_rank": Reading(LATENT_RANK, "rank", ".1f"),
    "held_out_gap": Reading(HELD_OUT_GAP, "held-out gap", ".3f"),
    "overfitting": Reading(OVERFITTING, "overfitting", ".2f"),
}
"""The readings by their names in the record."""


def configuration(config: Config) -> dict[str, str]:
    """Return the values of all options that flags decide, as text by name."""
    values = read_flagfile(config_to_flagfile(config))
    return {name: value for name, value in values.items() if name not in _SET_BY_CELL}


def read_record(path: Path, run_dir: Path, identity: Mapping[str, Any]) -> dict[str, Any] | None:
    """Read the record of a cell; None if there is none.

    Args:
        path: Its file.
        run_dir: The directory of its run. A run that failed before it was begun may have other flags now.
        identity: What a record of this cell begins with.

    Raises:
        UserError: The record is damaged, or is of another configuration or of another limit.
    """
    if not path.exists():
        return None
    try:
        record = dict(json.loads(read_text(path)))
        is_begun = record["status"] != FAILED or run_dir.exists()
        differences = list(_differences(record, identity)) if is_begun else []
    except (ValueError, TypeError, KeyError) as error:
        raise UserError(f"run_dir: expected the record of a cell in {path}, received something else") from error
    if differences:
        name, expected, received = differences[0]
        raise UserError(
            f"run_dir: expected {name} {expected} in {path}, received {received}; give another --run_dir, or remove "
            "the directory of that setting"
        )
    return record


def _differences(record: Mapping[str, Any], identity: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    """Yield the name of what differs in a record, what is expected and what it has."""
    for name in ("setting", "seed", "steps", "minutes"):
        if record.get(name) != identity[name]:
            yield name, identity[name], record.get(name)
    if "configuration" not in record:
        yield "configuration", "of all options", "none (the record is of an earlier version)"
        return
    # An option that is newer than the record had its default value.
    recorded = configuration(Config()) | dict(record["configuration"])
    for name, value in recorded.items():
        expected = identity["configuration"].get(name)
        if value != expected:
            yield name, expected, value


def values_of(record: dict[str, Any]) -> dict[str, float]:
    """Return the metrics of an evaluation record as single numbers, such as `precision_recall10k/recall`."""
    values: dict[str, float] = {}
    for name in record["num_samples"]:
        value = record[name]
        values |= {f"{name}/{part}": one for part, one in value.items()} if isinstance(value, dict) else {name: value}
    return values


def last_reading(records: list[dict[str, Any]], scalar: str) -> float | None:
    """Return the last value of a scalar in the lines of `metrics.jsonl`, or None if no line has it."""
    return next((one[scalar] for one in reversed(records) if scalar in one), None)


def describe_failure(status: int, output: str) -> dict[str, str]:
    """Return the state and the message of a cell whose command failed.

    Args:
        status: Exit status of the command. A command that a signal ended, whoever sent it, can go on.
        output: What it wrote.
    """
    if status < 0 or status > 128:
        return {"status": UNFINISHED, "message": f"ended by signal {-status if status < 0 else status - 128}"}
    lines = [line for line in output.splitlines() if line.strip()] or ["it wrote nothing"]
    said = next((line for line in reversed(lines) if "error: " in line), lines[-1])
    state = UNHEALTHY if _UNHEALTHY.search(said) else FAILED
    return {"status": state, "message": f"exit status {status}: {said.strip()[:500]}"}
