"""Lines about the runs of a study that are copies of runs of other studies."""

from __future__ import annotations

from collections.abc import Sequence

from sagan_tf.text import make_printable
from tools.ablations.ended_runs import REUSED_FROM
from tools.ablations.outcomes import Outcome


def describe_reused_runs(outcomes: Sequence[Outcome]) -> list[str]:
    """Return a line that names the cells whose runs were trained for another study, and else nothing."""
    copies = [
        f"{outcome.cell.name}: {make_printable(str(outcome.record[REUSED_FROM]))}"
        for outcome in outcomes
        if REUSED_FROM in outcome.record
    ]
    if not copies:
        return []
    return [
        "runs of other studies with the same options, so that the results are not independent of these studies: "
        + "; ".join(copies)
    ]
