"""Charts of a study: metrics and gamma over training, as means over all seeds with bands of one standard deviation."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from sagan_tf.visualization.panel_chart import Panel, draw_panels
from tools.ablations.metric_text import describe_direction, is_spread, list_metrics_of
from tools.ablations.outcomes import Outcome, group_by_setting
from tools.comparisons.records import read_run_records
from tools.comparisons.results import Points, average_curve, get_heading

ByStep = Mapping[float, float]
_GAMMA = "gamma/"
_MAX_POINTS = 200


@dataclasses.dataclass(frozen=True)
class Chart:
    """A chart.

    Attributes:
        svg: The <svg> element; empty if there is nothing to draw.
        caption: What it shows, and which settings or runs it lacks.
    """

    svg: str
    caption: str


def draw_metric_chart(outcomes: Sequence[Outcome], metric: str) -> Chart:
    """Draw a large panel of the selecting metric, and small ones of the others, with a curve of each setting.

    Args:
        outcomes: The outcomes of all cells.
        metric: The selecting metric.
    """
    groups = group_by_setting(outcomes)
    metrics = [metric, *(name for name in list_metrics_of(outcomes) if name != metric and not is_spread(name))]
    panels = []
    for name in metrics:
        curves = {
            setting: [_get_curve(cell, name) for cell in cells if _has_curve(cell)] for setting, cells in groups.items()
        }
        is_first, direction = name == metric, describe_direction(name)
        label = ", ".join(filter(None, (name, direction))) if is_first else direction
        panels.append(_create_panel(get_heading(name), label, curves, is_logarithmic=is_first))
    missing = [setting for setting, cells in groups.items() if any(c.has_died and not c.evaluations for c in cells)]
    caption = "Mean over the seeds with a band of one standard deviation, up to the step at which the first run ends."
    if missing:
        caption += f" Without a curve, as a run died before its first evaluation: {', '.join(missing)}."
    later = [outcome.cell.name for outcome in outcomes if not _has_curve(outcome)]
    if later:
        caption += f" Not in the means, as they are not evaluated yet: {'; '.join(later)}."
    return Chart(draw_panels(panels, has_large_panel=True), caption)


def draw_gamma_chart(outcomes: Sequence[Outcome]) -> Chart:
    """Draw a panel for each network with the absolute gamma of each attention layer of each setting.

    The sign of gamma has no meaning: a layer with -gamma and values of the opposite sign computes the same.
    """
    by_network: dict[str, dict[str, dict[str, list[ByStep]]]] = {}
    missing = []
    for outcome in outcomes:
        lines = read_run_records(outcome.cell.run_dir)
        if outcome.has_died and not any(line["kind"] == "train" for line in lines):
            missing.append(outcome.cell.name)
        for name in dict.fromkeys(name for line in lines for name in line if name.startswith(_GAMMA)):
            network, _, layer = name.removeprefix(_GAMMA).partition("/")
            by_layer = by_network.setdefault(network, {}).setdefault(outcome.cell.setting.name, {})
            curve = {line["step"]: abs(line[name]) for line in lines if name in line}
            by_layer.setdefault(layer, []).append(curve)
    panels = []
    for network, by_setting in by_network.items():
        curves = {
            setting if len(by_layer) == 1 else f"{setting}, {layer}": by_run
            for setting, by_layer in by_setting.items()
            for layer, by_run in by_layer.items()
        }
        panels.append(_create_panel(network, "|gamma|", curves))
    caption = "Mean of |gamma| over the seeds with a band of one standard deviation. At 0, attention is not used."
    if missing:
        caption += f" Not in the means, as they died before the first line of their logs: {'; '.join(missing)}."
    return Chart(draw_panels(panels, has_large_panel=False), caption)


def _get_curve(outcome: Outcome, metric: str) -> ByStep:
    return {step: values[metric] for step, values in outcome.evaluations.items() if metric in values}


def _has_curve(outcome: Outcome) -> bool:
    """Return whether a run limits the curve of its setting.

    A run that died before its first evaluation does, so that its setting has no curve. One that was not evaluated yet
    does not.
    """
    return bool(outcome.evaluations) or outcome.has_died


def _create_panel(
    title: str, y_label: str, curves: Mapping[str, Sequence[ByStep]], *, is_logarithmic: bool = False
) -> Panel:
    averaged = {name: average_curve(by_run) for name, by_run in curves.items()}
    means = {name: _select_points(mean) for name, (mean, _) in averaged.items()}
    deviations = {name: _select_points(deviation) for name, (_, deviation) in averaged.items()}
    return Panel(title, y_label, means, deviations, is_logarithmic)


def _select_points(points: Points) -> Points:
    """Return at most `_MAX_POINTS` points at even distances, with the first and the last."""
    if len(points) <= _MAX_POINTS:
        return points
    return [points[round(index * (len(points) - 1) / (_MAX_POINTS - 1))] for index in range(_MAX_POINTS)]
