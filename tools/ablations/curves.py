"""Charts of a study: metrics and gamma over training, as means over the seeds with bands of one standard deviation."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence

from sagan_tf.visualization.line_chart import can_draw, draw_line_charts
from tools.ablations.outcomes import Outcome, group_by_setting
from tools.ablations.tables import list_metrics
from tools.comparisons.records import read_run_records
from tools.comparisons.results import Points

ByStep = Mapping[int, float]
_GAMMA = "gamma/"
_GAMMA_TITLE = "attention gates (gamma); 0: attention is not used"


def draw_metric_charts(outcomes: Sequence[Outcome]) -> str:
    """Draw a chart of each metric with a curve of each setting; empty if no run was evaluated."""
    charts = {}
    for metric in list_metrics(outcomes):
        charts[metric] = {
            setting: [{step: values[metric] for step, values in cell.evaluations.items() if metric in values}
                      for cell in cells]
            for setting, cells in group_by_setting(outcomes).items()
        }  # fmt: skip
    return _draw(charts)


def draw_gamma_chart(outcomes: Sequence[Outcome]) -> str:
    """Draw the gamma of each attention layer of each setting; empty if no setting has attention."""
    curves: dict[str, list[ByStep]] = {}
    for outcome in outcomes:
        by_layer: dict[str, dict[int, float]] = {}
        for line in read_run_records(outcome.cell.run_dir):
            for name in line:
                if name.startswith(_GAMMA):
                    by_layer.setdefault(name.removeprefix(_GAMMA), {})[line["step"]] = line[name]
        for layer, by_step in by_layer.items():
            curves.setdefault(f"{outcome.cell.setting.name}: {layer}", []).append(by_step)
    return _draw({_GAMMA_TITLE: curves})


def _draw(charts: Mapping[str, Mapping[str, Sequence[ByStep]]]) -> str:
    means: dict[str, dict[str, Points]] = {}
    deviations: dict[str, dict[str, Points]] = {}
    for title, curves in charts.items():
        averaged = {name: _average(by_seed) for name, by_seed in curves.items()}
        means[title] = {name: mean for name, (mean, _) in averaged.items()}
        deviations[title] = {name: deviation for name, (_, deviation) in averaged.items()}
    drawn = {
        title: curves
        for title, curves in means.items()
        if any(can_draw(value) for points in curves.values() for _, value in points)
    }
    return draw_line_charts(drawn, deviations) if drawn else ""


def _average(by_seed: Sequence[ByStep]) -> tuple[Points, Points]:
    """Return the mean at each step over the seeds that reached it, and the standard deviation if two or more did."""
    means: Points = []
    deviations: Points = []
    for step in sorted({step for values in by_seed for step in values}):
        known = [values[step] for values in by_seed if step in values]
        means.append((step, statistics.fmean(known)))
        if len(known) > 1:
            deviations.append((step, statistics.stdev(known)))
    return means, deviations
