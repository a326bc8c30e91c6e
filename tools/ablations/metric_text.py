"""Metrics in tables and charts of a study: which are shown, their headings, directions and decimals."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence

from sagan_tf.config.metric_names import split_metric_name
from tools.ablations.outcomes import Outcome
from tools.comparisons.metric_headings import get_heading, list_metrics, remove_sample_count

MAX_HEADLINE_METRICS = 6
_LEFT_OUT_FIRST = ("density_coverage/density",)
"""Metrics that a table leaves out if there are too many: coverage says nearly the same, and is at most 1."""
_DECIMALS = 3
"""Decimals of shares, and of other values below 1."""
_MIN_SHOWN_P_VALUE = 0.001


def list_metrics_of(outcomes: Iterable[Outcome]) -> list[str]:
    """Return the names of the metrics of outcomes, in the order of the evaluations."""
    return list_metrics(values for outcome in outcomes for values in outcome.evaluations.values())


def select_headline_metrics(metrics: Sequence[str], selecting: str) -> list[str]:
    """Return at most `MAX_HEADLINE_METRICS` metrics, the one that selects the best step first."""
    names = [selecting, *(name for name in metrics if name != selecting)]
    if len(names) > MAX_HEADLINE_METRICS:
        names = [name for name in names if remove_sample_count(name) not in _LEFT_OUT_FIRST]
    return names[:MAX_HEADLINE_METRICS]


def is_lower_better(metric: str) -> bool | None:
    """Return whether lower values of a metric are better; None if neither lower nor higher values are."""
    from sagan_tf.evaluation.metrics import METRICS

    family = METRICS.get(split_metric_name(metric.partition("/")[0])[0])
    return None if family is None else family.lower_is_better


def describe_direction(metric: str) -> str:
    """Return which values of a metric are better, in words; empty if none are."""
    is_lower = is_lower_better(metric)
    return "" if is_lower is None else "lower is better" if is_lower else "higher is better"


def format_heading(metric: str) -> str:
    """Return the short name of a metric with an arrow to better values."""
    is_lower = is_lower_better(metric)
    return get_heading(metric) + ("" if is_lower is None else " ↓" if is_lower else " ↑")


def choose_decimals(metric: str, values: Iterable[float]) -> int:
    """Choose the decimals with which the values of a metric are shown, by the smallest of them.

    These are 2 from 1, 1 from 100 and 0 from 1000, so that a FID is 18.65 and 186.5. Values below 1 have 3 decimals,
    kernel distances below 1 have three significant digits.
    """
    smallest = min((abs(value) for value in values if math.isfinite(value) and value), default=0.0)
    if smallest >= 1.0:
        return max(0, 2 - max(0, math.floor(math.log10(smallest)) - 1))
    if smallest and remove_sample_count(metric).partition("/")[0] in ("kid", "kcd"):
        return 2 - math.floor(math.log10(smallest))
    return _DECIMALS


def format_p_value(value: float) -> str:
    """Format a p value with three significant digits, so that 0.0499 is not 0.050."""
    return f"{value:#.3g}" if value >= _MIN_SHOWN_P_VALUE else f"< {_MIN_SHOWN_P_VALUE}"


def find_best(metric: str, values: Mapping[str, Sequence[float | None]]) -> list[str]:
    """Find the settings with the best mean, among those whose runs all have a value.

    The mean of only the runs that have a value would be too good if the others died. At the best step, a run that died
    after an evaluation has a value.

    Args:
        metric: The metric.
        values: Values of the runs of each setting; None for a run without a value.

    Returns:
        Names of settings; empty if fewer than two settings can be compared, or no direction is better.
    """
    is_lower = is_lower_better(metric)
    means = {
        name: statistics.fmean(known)
        for name, by_run in values.items()
        if len(known := [value for value in by_run if value is not None and math.isfinite(value)]) == len(by_run)
    }
    if is_lower is None or len(means) < 2:
        return []
    best = min(means.values()) if is_lower else max(means.values())
    return [name for name, mean in means.items() if mean == best]
