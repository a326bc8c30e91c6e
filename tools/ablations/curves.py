"""Charts of a study: metrics and gamma over training, a thin line for each run, and means over the seeds with bands."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from sagan_tf.visualization.panel_chart import Panel, assign_styles, draw_panels
from tools.ablations.chart import Chart
from tools.ablations.curve_styles import choose_styles
from tools.ablations.metric_text import describe_direction, list_metrics_of
from tools.ablations.outcomes import Outcome, describe_ending, group_by_setting
from tools.comparisons.metric_headings import get_heading
from tools.comparisons.run_files import read_run_records
from tools.comparisons.summaries import Points, average_curve

GAMMA = "gamma/"
"""Beginning of the names of gamma in a log, before the network and the layer."""
_MAX_POINTS = 200
_MAX_BANDS = 7
"""Settings up to which bands are drawn; more of them would hide each other."""


@dataclasses.dataclass(frozen=True)
class _Curve:
    """A quantity of one run.

    Attributes:
        points: The values by step, in order of steps.
        has_died: Whether training stopped the run as unhealthy.
        limits_mean: Whether the mean over the runs ends where this run ends.
    """

    points: Mapping[float, float]
    has_died: bool
    limits_mean: bool

    def find_end(self) -> tuple[float, float]:
        """Find the last point with a finite value, or else the last point."""
        points = list(self.points.items())
        return next((point for point in reversed(points) if math.isfinite(point[1])), points[-1])


def draw_metric_chart(outcomes: Sequence[Outcome], metric: str) -> Chart:
    """Draw a large panel of the selecting metric, and small ones of the others, with the curves of each setting.

    Args:
        outcomes: The outcomes of all cells.
        metric: The selecting metric.
    """
    groups = group_by_setting(outcomes)
    metrics = [metric, *(name for name in list_metrics_of(outcomes) if name != metric)]
    has_bands = len(groups) <= _MAX_BANDS
    panels = []
    for name in metrics:
        curves = {setting: [_get_curve(cell, name) for cell in cells] for setting, cells in groups.items()}
        is_first, direction = name == metric, describe_direction(name)
        label = ", ".join(filter(None, (name, direction))) if is_first else direction
        panel = _create_panel(get_heading(name), label, curves, has_bands=has_bands)
        panels.append(dataclasses.replace(panel, is_logarithmic=is_first))
    caption = f"{_describe_lines(has_bands=has_bands)} A cross: the last evaluation of a run that died."
    missing = [outcome for outcome in outcomes if not outcome.evaluations]
    caption += _describe_missing(missing, "the first evaluation")
    return Chart(draw_panels(panels, has_large_panel=True, styles=choose_styles(list(groups))), caption)


def draw_gamma_chart(outcomes: Sequence[Outcome]) -> Chart:
    """Draw a panel for each network with the absolute gamma of each attention layer of each setting.

    The sign of gamma has no meaning: a layer with -gamma and values of the opposite sign computes the same.
    """
    groups = group_by_setting(outcomes)
    logs = {outcome.cell.run_dir: read_run_records(outcome.cell.run_dir) for outcome in outcomes}
    by_network: dict[str, dict[str, list[_Curve]]] = {}
    for cells in groups.values():
        for network, curves in _collect_gamma(cells, [logs[outcome.cell.run_dir] for outcome in cells]).items():
            by_network.setdefault(network, {}).update(curves)
    has_bands = len(groups) <= _MAX_BANDS
    panels = [_create_panel(network, "|gamma|", curves, has_bands=has_bands) for network, curves in by_network.items()]
    names = list(dict.fromkeys(name for curves in by_network.values() for name in curves))
    styles = choose_styles(list(groups)) if set(names) <= set(groups) else assign_styles(names)
    caption = f"{_describe_lines(has_bands=has_bands)} A cross: the last step in the log of a run that died. "
    caption += "At 0, attention is not used."
    missing = [
        outcome for outcome in outcomes if not any(line["kind"] == "train" for line in logs[outcome.cell.run_dir])
    ]
    caption += _describe_missing(missing, "the first line of the log")
    return Chart(draw_panels(panels, has_large_panel=False, styles=styles), caption)


def _collect_gamma(
    outcomes: Sequence[Outcome], logs: Sequence[Sequence[Mapping[str, Any]]]
) -> dict[str, dict[str, list[_Curve]]]:
    """Return the absolute gamma of the runs of a setting by network, and by the setting and the layer if it has more.

    Args:
        outcomes: The outcomes of the cells of the setting.
        logs: The lines of the log of each of them.
    """
    scalars = dict.fromkeys(name for lines in logs for line in lines for name in line if name.startswith(GAMMA))
    places = {name: name.removeprefix(GAMMA).partition("/")[::2] for name in scalars}
    num_layers = Counter(network for network, _ in places.values())
    result: dict[str, dict[str, list[_Curve]]] = {}
    for scalar, (network, layer) in places.items():
        setting = outcomes[0].cell.setting.name
        curves = result.setdefault(network, {})[setting if num_layers[network] == 1 else f"{setting}, {layer}"] = []
        for outcome, lines in zip(outcomes, logs, strict=True):
            points = {line["step"]: abs(line[scalar]) for line in lines if scalar in line}
            curves.append(_create_curve(outcome, points, has_begun=bool(points)))
    return result


def _describe_missing(outcomes: Sequence[Outcome], first: str) -> str:
    """Return sentences about runs without values: those that died, and those that do not have the first value yet."""
    died = "; ".join(f"{outcome.cell.name} ({describe_ending(outcome)})" for outcome in outcomes if outcome.has_died)
    later = "; ".join(outcome.cell.name for outcome in outcomes if not outcome.has_died)
    text = f" Died before {first}, so that the setting has no mean: {died}." if died else ""
    return f"{text} Not in the means yet, before {first}: {later}." if later else text


def _describe_lines(*, has_bands: bool) -> str:
    band = " with a band of one standard deviation" if has_bands else ""
    return f"Thin: each run. Thick: the mean over the seeds{band}, up to the step at which the first run ends."


def _get_curve(outcome: Outcome, metric: str) -> _Curve:
    points: dict[float, float] = {
        step: values[metric] for step, values in outcome.evaluations.items() if metric in values
    }
    return _create_curve(outcome, points, has_begun=bool(outcome.evaluations))


def _create_curve(outcome: Outcome, points: Mapping[float, float], *, has_begun: bool) -> _Curve:
    # A run that does not have its first value yet does not end the mean.
    return _Curve(points, has_died=outcome.has_died, limits_mean=has_begun or outcome.has_died)


def _create_panel(title: str, y_label: str, curves: Mapping[str, Sequence[_Curve]], *, has_bands: bool) -> Panel:
    averaged = {
        name: average_curve([curve.points for curve in by_run if curve.limits_mean]) for name, by_run in curves.items()
    }
    return Panel(
        title,
        y_label,
        {name: _select_points(mean) for name, (mean, _) in averaged.items()},
        {name: _select_points(deviation) for name, (_, deviation) in averaged.items() if has_bands},
        runs={name: [_select_points(list(c.points.items())) for c in by_run] for name, by_run in curves.items()},
        ends={name: [c.find_end() for c in by_run if c.has_died and c.points] for name, by_run in curves.items()},
    )


def _select_points(points: Points) -> Points:
    """Return at most `_MAX_POINTS` points at even distances, with the first and the last."""
    if len(points) <= _MAX_POINTS:
        return points
    return [points[round(index * (len(points) - 1) / (_MAX_POINTS - 1))] for index in range(_MAX_POINTS)]
