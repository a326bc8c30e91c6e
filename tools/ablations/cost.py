"""Predicted cost of a study, from the seconds of one step."""

from __future__ import annotations

from collections.abc import Sequence

from tools.comparisons.cells import Cell
from tools.comparisons.summaries import format_count

_SECONDS_PER_DAY = 86400.0


def predict_seconds(cell: Cell, seconds_per_step: float) -> float:
    """Predict the seconds of training of a cell, without evaluations.

    Args:
        cell: The cell.
        seconds_per_step: Seconds of a step with one update of each network. An update of either network counts as half
            of them, so that a step with five updates of the discriminator takes three times as long.
    """
    updates = cell.config.training.discriminator_steps_per_step + 1
    return cell.num_steps * seconds_per_step * updates / 2.0


def describe_cost(cells: Sequence[Cell], seconds_per_step: float) -> str:
    """Return one line with the predicted time of all cells, one after the other, on the machine of a step time."""
    seconds = sum(predict_seconds(cell, seconds_per_step) for cell in cells)
    days = seconds / _SECONDS_PER_DAY
    duration = f"{days:.1f} days" if days >= 1 else f"{seconds / 3600.0:.1f} h"
    cells_and_steps = f"{format_count(len(cells), 'cell')}, {sum(cell.num_steps for cell in cells):,} steps"
    return (
        f"predicted, not measured: {cells_and_steps}, {duration} at {seconds_per_step:g} s a step with one "
        "discriminator update, on the machine of that step time, without evaluations"
    )
