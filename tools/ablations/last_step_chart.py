"""Chart of a few metrics of all runs at the last step: a row for each setting, a dot for each run."""

from __future__ import annotations

import math
from collections.abc import Sequence

from sagan_tf.visualization.dot_chart import Dot, DotPanel, draw_dot_panels
from tools.ablations.chart import Chart
from tools.ablations.curve_styles import choose_styles
from tools.ablations.metric_text import describe_direction, list_metrics_of
from tools.ablations.outcomes import LAST, Outcome, group_by_setting
from tools.comparisons.metric_headings import get_heading, remove_sample_count

_MAX_PANELS = 3
_SHOWN_FIRST = ("precision_recall/recall", "class_agreement/worst")
"""Metrics that are shown beside the selecting one: recall is low if a generator has few modes, the worst class if the
images of one class are bad."""


def draw_last_step_chart(outcomes: Sequence[Outcome], metric: str) -> Chart:
    """Draw a few metrics of all runs at the last step.

    These are the selecting metric, then recall and the worst class, then others in the order of the evaluations, three
    in all.

    Args:
        outcomes: The outcomes of all cells.
        metric: The selecting metric.
    """
    groups = group_by_setting(outcomes)
    panels = [
        DotPanel(
            get_heading(name),
            describe_direction(name),
            {setting: [_make_dot(outcome, name) for outcome in group] for setting, group in groups.items()},
            is_logarithmic=name == metric,
        )
        for name in _select_metrics(outcomes, metric)
    ]
    title = f"All runs at the last step: {', '.join(panel.title for panel in panels)}"
    labels = {setting: _make_label(setting, group) for setting, group in groups.items()}
    colors = {setting: color for setting, (_, color) in choose_styles(list(groups)).items()}
    caption = "Each dot is a run; a hollow dot is a run that collapsed. The black bar is the mean of a setting."
    if not all(math.isfinite(_make_dot(outcome, metric).value) for outcome in outcomes):
        caption += " A run without a finite value at the last step has no dot, and its setting has no bar."
    return Chart(draw_dot_panels(title, panels, labels, colors), caption)


def _select_metrics(outcomes: Sequence[Outcome], metric: str) -> list[str]:
    others = [name for name in list_metrics_of(outcomes) if name != metric]
    places = {name: place for place, name in enumerate(_SHOWN_FIRST)}
    others.sort(key=lambda name: places.get(remove_sample_count(name), len(places)))
    return [metric, *others][:_MAX_PANELS]


def _make_dot(outcome: Outcome, metric: str) -> Dot:
    return Dot(outcome.moments[LAST].metrics.get(metric, math.nan), bool(outcome.has_collapsed))


def _make_label(setting: str, outcomes: Sequence[Outcome]) -> str:
    """Return the name of a setting, with the number of its runs that died if there are any."""
    num_died = sum(outcome.has_died for outcome in outcomes)
    return f"{setting} ({num_died} of {len(outcomes)} died)" if num_died else setting
