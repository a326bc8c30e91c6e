"""Charts of a study: metrics and gamma over training, a thin line for each run, and means over the seeds with bands."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Mapping, Sequence

from sagan_tf.visualization.line_chart import LINE_STYLES
from sagan_tf.visualization.panel_chart import Panel, draw_panels
from tools.ablations.curve_styles import choose_styles
from tools.ablations.metric_text import describe_direction, is_spread, list_metrics_of
from tools.ablations.outcomes import Outcome, describe_ending, group_by_setting
from tools.comparisons.records import read_run_records
from tools.comparisons.results import Points, average_curve, get_heading

GAMMA = "gamma/"
"""Beginning of the names of gamma in a log, before the network and the layer."""
_MAX_POINTS = 200
_MAX_BANDS = 7
"""Settings up to which bands are drawn; more of them would hide each other."""


@dataclasses.dataclass(frozen=True)
class Chart:
    """A chart.

    Attributes:
        svg: The <svg> element; empty if there is nothing to draw.
        caption: What it shows, and which settings or runs it lacks.
    """

    svg: str
    caption: str


@dataclasses.dataclass(frozen=True)
class _Curve:
    """A quantity of one run.

    Attributes:
        points: The values by step, in order of steps.
        has_died: Whether training stopped the run as unhealthy.
        limits_mean: Whether the mean over the runs ends where this run ends.
    """

    points: Mapping[float, float]
    has_died: bool = False
    limits_mean: bool = True

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
    metrics = [metric, *(name for name in list_metrics_of(outcomes) if name != metric and not is_spread(name))]
    has_bands = len(groups) <= _MAX_BANDS
    panels = []
    for name in metrics:
        curves = {setting: [_get_curve(cell, name) for cell in cells] for setting, cells in groups.items()}
        is_first, direction = name == metric, describe_direction(name)
        label = ", ".join(filter(None, (name, direction))) if is_first else direction
        panel = _create_panel(get_heading(name), label, curves, has_bands=has_bands)
        panels.append(dataclasses.replace(panel, is_logarithmic=is_first))
    caption = f"{_describe_lines(has_bands=has_bands)} A cross: the last evaluation of a run that died."
    died = [outcome for outcome in outcomes if outcome.has_died and not outcome.evaluations]
    if died:
        texts = "; ".join(f"{outcome.cell.name} ({describe_ending(outcome)})" for outcome in died)
        caption += f" Died before the first evaluation, so that the setting has no mean: {texts}."
    later = [outcome.cell.name for outcome in outcomes if not outcome.has_died and not outcome.evaluations]
    if later:
        caption += f" Not in the means, as they are not evaluated yet: {'; '.join(later)}."
    return Chart(draw_panels(panels, has_large_panel=True, styles=choose_styles(list(groups))), caption)


def draw_gamma_chart(outcomes: Sequence[Outcome]) -> Chart:
    """Draw a panel for each network with the absolute gamma of each attention layer of each setting.

    The sign of gamma has no meaning: a layer with -gamma and values of the opposite sign computes the same.
    """
    by_network: dict[str, dict[str, dict[str, list[_Curve]]]] = {}
    missing = []
    for outcome in outcomes:
        lines = read_run_records(outcome.cell.run_dir)
        if outcome.has_died and not any(line["kind"] == "train" for line in lines):
            missing.append(outcome.cell.name)
        for name in dict.fromkeys(name for line in lines for name in line if name.startswith(GAMMA)):
            network, _, layer = name.removeprefix(GAMMA).partition("/")
            by_layer = by_network.setdefault(network, {}).setdefault(outcome.cell.setting.name, {})
            curve = {line["step"]: abs(line[name]) for line in lines if name in line}
            by_layer.setdefault(layer, []).append(_Curve(curve, has_died=outcome.has_died))
    settings = list(group_by_setting(outcomes))
    has_bands = len(settings) <= _MAX_BANDS
    styles = choose_styles(settings)
    panels = []
    for network, by_setting in by_network.items():
        curves = {}
        for setting, by_layer in by_setting.items():
            for (layer, by_run), line_style in zip(by_layer.items(), itertools.cycle(LINE_STYLES), strict=False):
                name = setting if len(by_layer) == 1 else f"{setting}, {layer}"
                styles.setdefault(name, (line_style, styles[setting][1]))
                curves[name] = by_run
        panels.append(_create_panel(network, "|gamma|", curves, has_bands=has_bands))
    caption = f"{_describe_lines(has_bands=has_bands)} A cross: the last step in the log of a run that died. "
    caption += "At 0, attention is not used."
    if missing:
        caption += f" Not in the means, as they died before the first line of their logs: {'; '.join(missing)}."
    return Chart(draw_panels(panels, has_large_panel=False, styles=styles), caption)


def _describe_lines(*, has_bands: bool) -> str:
    band = " with a band of one standard deviation" if has_bands else ""
    return f"Thin: each run. Thick: the mean over the seeds{band}, up to the step at which the first run ends."


def _get_curve(outcome: Outcome, metric: str) -> _Curve:
    points: dict[float, float] = {
        step: values[metric] for step, values in outcome.evaluations.items() if metric in values
    }
    # A run that was not evaluated yet does not end the mean.
    return _Curve(points, has_died=outcome.has_died, limits_mean=bool(outcome.evaluations) or outcome.has_died)


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
