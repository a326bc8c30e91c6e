"""The HTML page of the report of a run."""

from __future__ import annotations

import json
import pathlib
from typing import Any

from sagan_tf.runs.metrics_log import read_metrics
from sagan_tf.runs.run_directory import RunDirectory
from sagan_tf.text import read_text
from sagan_tf.visualization.html_page import render_page
from tools.reporting.curves import draw_charts
from tools.reporting.images import draw_attention_sheet, read_sample_grids
from tools.reporting.tables import make_class_table, make_health_table, make_metric_table


def format_page(directory: RunDirectory) -> str:
    """Format the report of a run as an HTML page.

    Args:
        directory: The directory of the run.

    Returns:
        HTML text. Characters that are not valid, which names of files and classes may have, are written as escapes.

    Raises:
        OSError: A file of the run cannot be read.
    """
    lines = read_metrics(directory.metrics)
    page = render_page(
        "tools.reporting",
        "report.html.jinja",
        title=directory.path.resolve().name,
        steps=max((line["step"] for line in lines), default=0),
        metrics=make_metric_table(lines),
        classes=make_class_table(lines),
        health=make_health_table(lines),
        charts=draw_charts([line for line in lines if line.get("kind") in ("train", "health")]),
        grids=read_sample_grids(directory.samples),
        attention=draw_attention_sheet(directory),
        settings={
            "Configuration": directory.read_flags(),
            "Data, networks, devices": _flatten(_read_json(directory.startup)),
            "Versions": _read_json(directory.versions),
        },
    )
    return page.encode("utf-8", "backslashreplace").decode("utf-8")


def _flatten(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in values.items():
        flat |= _flatten(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value}
    return flat


def _read_json(path: pathlib.Path) -> dict[str, Any]:
    """Read a JSON object; empty if the file is missing or damaged."""
    try:
        value = json.loads(read_text(path))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}
