"""Chart of the metrics of all runs at the last step: a row for each setting, a dot for each run."""

from __future__ import annotations

import math
from collections.abc import Sequence

from sagan_tf.visualization.dot_chart import DotPanel, draw_dot_panels
from tools.ablations.curve_styles import choose_styles
from tools.ablations.curves import Chart
from tools.ablations.metric_text import describe_direction, list_metrics_of, select_headline_metrics
from tools.ablations.outcomes import LAST, Outcome, group_by_setting
from tools.comparisons.results import get_heading

_MAX_PANELS = 3
_SHOWN_FIRST = ("recall", "worst class")
"""Headings of the metrics beside the selecting one: those that a generator with few modes or a bad class has low."""


def draw_last_step_chart(outcomes: Sequence[Outcome], metric: str) -> Chart:
    """Draw the selecting metric and at most two others at the last step of each run that has finished.

    Args:
        outcomes: The outcomes of all cells.
        metric: The selecting metric.
    """
    groups = group_by_setting(outcomes)
    panels = [
        DotPanel(
            get_heading(name),
            describe_direction(name),
            {
                setting: [cell.moments[LAST].metrics.get(name, math.nan) for cell in cells]
                for setting, cells in groups.items()
            },
            {
                setting: [index for index, cell in enumerate(cells) if cell.has_collapsed]
                for setting, cells in groups.items()
            },
            is_logarithmic=name == metric,
        )
        for name in _select_metrics(outcomes, metric)
    ]
    styles = choose_styles(list(groups))
    svg = draw_dot_panels(
        panels,
        {setting: _describe_setting(setting, cells) for setting, cells in groups.items()},
        {setting: color for setting, (_, color) in styles.items()},
    )
    caption = "A dot: a run. Hollow: the run has collapsed. Black: the mean over the seeds."
    if any(outcome.has_died for outcome in outcomes):
        caption += " A run that died has no last step."
    return Chart(svg, caption)


def _select_metrics(outcomes: Sequence[Outcome], metric: str) -> list[str]:
    """Select the selecting metric, then those of `_SHOWN_FIRST`, then others of the table."""
    first, *others = select_headline_metrics(list_metrics_of(outcomes), metric)
    order = {heading: place for place, heading in enumerate(_SHOWN_FIRST)}
    others.sort(key=lambda name: order.get(get_heading(name), len(order)))
    return [first, *others][:_MAX_PANELS]


def _describe_setting(setting: str, outcomes: Sequence[Outcome]) -> str:
    """Return the name of a setting, with the number of its runs that died if there are any."""
    num_died = sum(outcome.has_died for outcome in outcomes)
    return f"{setting} ({num_died} of {len(outcomes)} died)" if num_died else setting
