"""Descriptions that the runs of a study recorded when they started."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from sagan_tf.runs.run_directory import RunDirectory
from sagan_tf.text import read_text
from tools.ablations.outcomes import Outcome, group_by_setting


def read_startup(outcome: Outcome) -> dict[str, Any]:
    """Read `startup.json` of the run of a cell; empty if it is missing or damaged."""
    try:
        return dict(json.loads(read_text(RunDirectory(str(outcome.cell.run_dir)).startup)))
    except (OSError, ValueError, TypeError):
        return {}


def find_first_values(outcomes: Iterable[Outcome], key: str) -> dict[str, dict[str, Any]]:
    """Return a value of `startup.json` for each setting, of its first run that has it.

    Args:
        outcomes: The outcomes of all cells.
        key: The key of the value, such as `parameters`.

    Returns:
        The value by the name of the setting, without the settings whose runs do not have it.
    """
    values = {
        setting: next((startup[key] for cell in cells if key in (startup := read_startup(cell))), None)
        for setting, cells in group_by_setting(outcomes).items()
    }
    return {setting: value for setting, value in values.items() if value is not None}
