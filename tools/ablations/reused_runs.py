"""Lines about the runs of a study that are copies of runs of other studies."""

from __future__ import annotations

from collections.abc import Sequence

from tools.ablations.outcomes import Outcome
from tools.comparisons.reuse import REUSED_FROM


def describe_reused_runs(outcomes: Sequence[Outcome]) -> list[str]:
    """Return a line that names the cells whose runs were trained for another study, and else nothing."""
    copies = [
        f"{outcome.cell.name}: {outcome.record[REUSED_FROM]}" for outcome in outcomes if REUSED_FROM in outcome.record
    ]
    return [f"runs of other studies with the same options: {'; '.join(copies)}"] if copies else []
