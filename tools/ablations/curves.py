"""Charts of a study: metrics and gamma over training, as means over all seeds with bands of one standard deviation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sagan_tf.visualization.line_chart import can_draw, draw_line_charts
from tools.ablations.outcomes import Outcome, group_by_setting
from tools.ablations.tables import list_metrics
from tools.comparisons.records import UNHEALTHY, read_run_records
from tools.comparisons.results import Points, average_curve

ByStep = Mapping[float, float]
_GAMMA = "gamma/"
_GAMMA_TITLE = "attention gates (gamma); 0: attention is not used"


def draw_metric_charts(outcomes: Sequence[Outcome]) -> str:
    """Draw a chart of each metric with a curve of each setting; empty if no run was evaluated."""
    charts: dict[str, dict[str, list[ByStep]]] = {}
    for metric in list_metrics(outcomes):
        charts[metric] = {
            setting: [{step: values[metric] for step, values in cell.evaluations.items() if metric in values}
                      for cell in cells if _has_curve(cell)]
            for setting, cells in group_by_setting(outcomes).items()
        }  # fmt: skip
    return _draw(charts)


def draw_gamma_chart(outcomes: Sequence[Outcome]) -> str:
    """Draw the gamma of each attention layer of each setting; empty if no setting has attention."""
    curves: dict[str, list[ByStep]] = {}
    for outcome in outcomes:
        by_layer: dict[str, dict[float, float]] = {}
        for line in read_run_records(outcome.cell.run_dir):
            for name in line:
                if name.startswith(_GAMMA):
                    by_layer.setdefault(name.removeprefix(_GAMMA), {})[line["step"]] = line[name]
        for layer, by_step in by_layer.items():
            curves.setdefault(f"{outcome.cell.setting.name}: {layer}", []).append(by_step)
    return _draw({_GAMMA_TITLE: curves})


def _has_curve(outcome: Outcome) -> bool:
    """Return whether a run limits the curve of its setting.

    A run that died before its first evaluation does, so that its setting has no curve. One that was not evaluated yet
    does not.
    """
    return bool(outcome.evaluations) or outcome.status == UNHEALTHY


def _draw(charts: Mapping[str, Mapping[str, Sequence[ByStep]]]) -> str:
    means: dict[str, dict[str, Points]] = {}
    deviations: dict[str, dict[str, Points]] = {}
    for title, curves in charts.items():
        averaged = {name: average_curve(by_run) for name, by_run in curves.items()}
        means[title] = {name: mean for name, (mean, _) in averaged.items()}
        deviations[title] = {name: deviation for name, (_, deviation) in averaged.items()}
    drawn = {
        title: curves
        for title, curves in means.items()
        if any(can_draw(value) for points in curves.values() for _, value in points)
    }
    return draw_line_charts(drawn, deviations) if drawn else ""
