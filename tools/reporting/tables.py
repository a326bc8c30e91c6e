"""Tables of the report: evaluations, classes, and health signs with their meaning, state in the run and advice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sagan_tf.training.health.signs import SIGNS, Sign

Lines = Sequence[Mapping[str, Any]]
Table = list[tuple[str, ...]]
"""A heading and rows of cells; empty if there are no rows."""

_HEALTH_HEADING = ("sign", "value", "healthy", "in this run", "meaning", "what to change")


def make_metric_table(lines: Lines) -> Table:
    """Make a table of the evaluations, with the weights, extractor and reference.

    Args:
        lines: The lines of `metrics.jsonl`.

    Returns:
        The table, in which each evaluation is a row.
    """
    evaluations = [line for line in lines if line.get("kind") == "evaluation"]
    names = list(dict.fromkeys(name for line in evaluations for name in line.get("formulas", {})))
    rows = []
    for line in evaluations:
        about = [line.get("generator_weights", "ema"), line.get("extractor", "")]
        about.append((line.get("reference") or {}).get("images", ""))
        values = (_format_metric(line.get(name), line.get("worst_class", {}).get(name)) for name in names)
        rows.append((f"{line['step']:,}", *values, *map(str, about)))
    return [("step", *names, "weights", "extractor", "reference"), *rows] if rows else []


def _format_metric(value: Any, worst_class: str | None = None) -> str:
    if isinstance(value, dict):
        parts = ", ".join(f"{name} {_format_metric(part)}" for name, part in value.items())
        return parts if worst_class is None else f"{parts} ({worst_class})"
    return "" if value is None else f"{value:.4f}"


def make_class_table(lines: Lines) -> Table:
    """Make a table of the classes in the newest evaluation that has values of classes.

    Args:
        lines: The lines of `metrics.jsonl`.

    Returns:
        The table, in which each class is a row; the last column has the metrics in which it is the worst class.
    """
    for line in reversed(lines):
        if line.get("kind") == "evaluation" and "classes" in line:
            columns = [(name, values) for name, values in line["classes"].items() if name != "name"]
            titles = [name.replace("_images", " images").replace("/", ": ") for name, _ in columns]
            worst = line.get("worst_class", {})
            rows = [
                (name, *cells, ", ".join(metric for metric, worst_class in worst.items() if worst_class == name))
                for name, *cells in zip(
                    line["classes"]["name"], *(map(_format_cell, values) for _, values in columns), strict=True
                )
            ]
            return [(f"class, at step {line['step']:,}", *titles, "worst class in"), *rows]
    return []


def _format_cell(value: float | int | None) -> str:
    return "" if value is None else f"{value:,}" if isinstance(value, int) else f"{value:.4f}"


def make_health_table(lines: Lines) -> Table:
    """Make a table of the health signs of a run.

    Args:
        lines: The lines of `metrics.jsonl`.

    Returns:
        The table, with a row for each sign that the run has measured.
    """
    rows = [row for name, sign in SIGNS.items() if (row := _describe_sign(name, sign, lines))]
    return [_HEALTH_HEADING, *rows] if rows else []


def _describe_sign(name: str, sign: Sign, lines: Lines) -> tuple[str, ...] | None:
    checks = [(line, is_shown) for line in lines if (is_shown := sign.check(line)) is not None]
    if not checks:
        return None
    line, _ = checks[-1]
    healthy = [index for index, (_, is_shown) in enumerate(checks) if not is_shown]
    first = healthy[-1] + 1 if healthy else 0
    is_unhealthy = len(checks) - first >= sign.patience
    state = f"unhealthy since step {checks[first][0]['step']:,}" if is_unhealthy else "fine"
    value = f"{sign.scalar} {line[sign.scalar]:.4g} at step {line['step']:,}"
    return name, value, sign.healthy, state, sign.meaning, sign.advice if is_unhealthy else "nothing"
