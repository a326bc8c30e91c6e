"""Records of the cells of a comparison."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from sagan_tf.config import Config
from sagan_tf.config.flagfile import parse_flagfile
from sagan_tf.errors import UserError
from sagan_tf.text import read_text
from sagan_tf.training.health.signs import HELD_OUT_GAP, LATENT_RANK, OVERFITTING

FINISHED, UNFINISHED = "finished", "unfinished"
UNHEALTHY = "unhealthy"
"""A health sign or a non-finite number stopped the run. It would stop again."""
FAILED = "failed"
"""A command failed for another reason, such as a wrong flag or a full disk. It is tried again."""
RUNNING = "running"
"""Status of a cell that a process trains or evaluates at this moment. No stored record has it."""
NOT_STARTED = "not started"
"""Status of a cell that has no record."""
_UNHEALTHY = re.compile(r"error: (on_unhealthy: |training: expected finite )")
"""Beginning of the error of a run that is `UNHEALTHY`."""
_IDENTITY = ("setting", "seed", "steps", "minutes")
"""Values of a record that are those of its cell, beside the options."""
_SET_BY_CELL = ("run_dir", "seed", "num_steps")
"""Options of a run that the cell sets, and not the flags of its setting."""


class Reading(NamedTuple):
    """A measurement of a run's health in the record of a cell.

    Attributes:
        scalar: Name in `metrics.jsonl`.
        heading: Heading in the table.
        format_spec: Format specification of numbers in the table.
    """

    scalar: str
    heading: str
    format_spec: str


READINGS = {
    "stable_rank": Reading(LATENT_RANK, "rank", ".1f"),
    "held_out_gap": Reading(HELD_OUT_GAP, "held-out gap", ".3f"),
    "overfitting": Reading(OVERFITTING, "overfitting", ".2f"),
}
"""Readings by their names in the record."""


def format_option_values(config: Config) -> dict[str, str]:
    """Format the values of all options of a setting as text, by name."""
    values = parse_flagfile(config.to_flagfile())
    return {name: value for name, value in values.items() if name not in _SET_BY_CELL}


def read_record(path: Path, run_dir: Path, identity: Mapping[str, Any]) -> dict[str, Any] | None:
    """Read the record of a cell.

    Args:
        path: The file of the record.
        run_dir: The directory of the run. The flags of a run that ended before it created this directory may change.
        identity: The values with which a record of this cell begins.

    Returns:
        The record, or None if there is no file.

    Raises:
        UserError: The record is damaged, or has another configuration or another limit.
    """
    if not path.exists():
        return None
    try:
        record = dict(json.loads(read_text(path)))
        if not isinstance(record["status"], str) or not isinstance(record.get("configuration", {}), dict):
            raise TypeError
        differences = list(find_differences(record, identity)) if has_begun(record, run_dir) else []
    except (ValueError, TypeError, KeyError) as error:
        raise UserError(
            f"run_dir: {path} is not a valid record of a comparison; remove it, or give another --run_dir"
        ) from error
    if differences:
        name, expected, received = differences[0]
        raise UserError(
            f"run_dir: expected {name} {expected} in {path}, received {received}; give the options of that run, or "
            "another --run_dir"
        )
    return record


def find_recorded_data_dir(directory: Path, settings: Collection[str]) -> str:
    """Return the `data_dir` in the first record of some settings; empty without a record that can be read.

    Args:
        directory: The directory of the comparison.
        settings: The names of the settings.
    """
    for path in list_record_paths(directory):
        if path.parent.name not in settings:
            continue
        with contextlib.suppress(ValueError, TypeError, KeyError):  # `read_record` reports a damaged record.
            return str(json.loads(read_text(path))["configuration"]["data_dir"])
    return ""


def list_record_paths(directory: Path) -> list[Path]:
    """List the paths of the records of all cells of a comparison."""
    paths = sorted(directory.glob("*/seed_*.json"))
    return [path for path in paths if path.stem.removeprefix("seed_").isdecimal()]


def has_begun(record: Mapping[str, Any] | None, run_dir: Path) -> bool:
    """Return whether training of a cell has begun.

    A start that failed or was interrupted before the run had a directory does not count.

    Args:
        record: The record of the cell, or None.
        run_dir: The directory of its run, which may not exist.
    """
    return run_dir.exists() or (record is not None and record["status"] not in (FAILED, UNFINISHED))


def find_differences(
    record: Mapping[str, Any], identity: Mapping[str, Any], names: Sequence[str] = _IDENTITY
) -> Iterator[tuple[str, Any, Any]]:
    """Yield the name, the expected and the recorded value of each difference of a record from a cell.

    Args:
        record: The record.
        identity: The values with which a record of the cell begins.
        names: The values that are compared beside all options.
    """
    for name in names:
        if record.get(name) != identity[name]:
            yield name, identity[name], record.get(name)
    if "configuration" not in record:
        yield "configuration", "of all options", "none (the record is of an earlier version)"
        return
    # An option that did not exist when the record was written had its default value.
    recorded = format_option_values(Config()) | dict(record["configuration"])
    for name, value in recorded.items():
        expected = identity["configuration"].get(name)
        if value != expected:
            yield name, expected, value


def flatten_metrics(record: Mapping[str, Any]) -> dict[str, float]:
    """Flatten the metrics of an evaluation record to numbers by name.

    A metric of several numbers gives names such as `precision_recall10k/recall`.
    """
    values: dict[str, float] = {}
    for name in record["num_samples"]:
        value = record[name]
        values |= {f"{name}/{key}": part for key, part in value.items()} if isinstance(value, dict) else {name: value}
    return values


def find_last_reading(records: list[dict[str, Any]], scalar: str) -> float | None:
    """Return the last value of a scalar in lines of `metrics.jsonl`, or None."""
    return next((record[scalar] for record in reversed(records) if scalar in record), None)


def describe_failure(status: int, output: str) -> dict[str, str]:
    """Return the `status` and the `message` of a cell whose command failed.

    Args:
        status: Exit status of the command. A command that was ended by any signal can continue.
        output: Output of the command.
    """
    if status < 0 or status > 128:
        return {"status": UNFINISHED, "message": f"ended by signal {-status if status < 0 else status - 128}"}
    lines = [line for line in output.splitlines() if line.strip()] or ["no output"]
    error = next((line for line in reversed(lines) if "error: " in line), lines[-1])
    state = UNHEALTHY if _UNHEALTHY.search(error) else FAILED
    return {"status": state, "message": f"exit status {status}: {error.strip()[:500]}"}
