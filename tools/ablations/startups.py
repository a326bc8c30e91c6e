"""Descriptions that the runs of a study recorded when they started."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tools.ablations.outcomes import Outcome
from tools.comparisons.run_files import read_startup


def find_first_values(outcomes: Iterable[Outcome], key: str) -> dict[str, dict[str, Any]]:
    """Return a value of `startup.json` for each setting, of its first run that has it.

    Args:
        outcomes: The outcomes of all cells.
        key: The key of the value, such as `parameters`.

    Returns:
        The value by the name of the setting, without the settings whose runs do not have it.
    """
    values: dict[str, dict[str, Any]] = {}
    for outcome in outcomes:
        startup = read_startup(outcome.cell.run_dir)
        if startup.get(key) is not None:
            values.setdefault(outcome.cell.setting.name, startup[key])
    return values
