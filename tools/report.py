"""Report of a run as one HTML page, to send to a colleague.

    python tools/report.py --run_dir=RUN_DIR [--output=report.html]

The page has the metrics, health, curves, sample grids during training, attention maps of the EMA generator,
configuration and versions of the run. It needs no other file and no network.
"""

from __future__ import annotations

import argparse
import base64
import html
import json
import math
import os
import pathlib
import re
import sys
from typing import Any

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from sagan_tf.cli.console import run_action, run_command
from sagan_tf.cli.load_tensorflow import load_tensorflow
from sagan_tf.errors import UserError
from sagan_tf.files import check_can_write_file, write_atomically, write_result
from sagan_tf.runs.metrics_log import read_metrics
from sagan_tf.runs.run_directory import RunDirectory
from sagan_tf.text import read_text
from sagan_tf.visualization.charts import CHARTS
from sagan_tf.visualization.line_chart import Points, draw_line_chart
from tools.reporting.health import format_health_section

_MAX_GRIDS = 6
_MAX_CURVES = 8
"""Curves in one chart. If there are more, only the largest and the smallest value are drawn."""


def main() -> int:
    """Run the command; return its exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run_dir", required=True, help="directory of the run")
    parser.add_argument("--output", default="", help="file of the page; default: report.html in the run's directory")
    options = parser.parse_args()
    return run_action("report", lambda: write_report(options.run_dir, options.output))


def write_report(run_dir: str, output_name: str) -> None:
    """Write the report of a run.

    Args:
        run_dir: The directory of the run.
        output_name: The file of the page; empty: `report.html` in `run_dir`.

    Raises:
        UserError: There is no run in `run_dir`, or the page cannot be written.
    """
    directory = RunDirectory(run_dir)
    if not directory.flags.is_file():
        raise UserError(f"run_dir: expected the directory of a run, with flags.cfg in it, received {run_dir}")
    output = pathlib.Path(os.path.expanduser(output_name)) if output_name else directory.path / "report.html"
    check_can_write_file(output, "output")
    page = format_page(directory)
    write_result(output, "output", lambda path: write_atomically(path, page))
    sys.stdout.write(f"report of {directory.path} in {output}\n")


def format_page(directory: RunDirectory) -> str:
    """Format the report of a run as an HTML page."""
    lines = read_metrics(directory.metrics)
    title = directory.path.resolve().name
    sections = {
        "Metrics": format_metrics(lines),
        "Health": format_health_section(lines),
        "Curves": draw_charts([line for line in lines if line.get("kind") in ("train", "health")]),
        "Images during training": embed_sample_grids(directory.samples),
        "Where the generator looks": draw_attention_maps(directory),
        "Configuration": format_values(directory.read_flags()),
        "Data, networks, devices": format_values(_flatten(_read_json(directory.startup))),
        "Versions": format_values(_read_json(directory.versions)),
    }
    body = "\n".join(f"<section><h2>{name}</h2>\n{content}</section>" for name, content in sections.items() if content)
    steps = max((line["step"] for line in lines), default=0)
    page = _PAGE.replace("@TITLE@", html.escape(title)).replace("@STEPS@", f"{steps:,}").replace("@BODY@", body)
    return page.encode("utf-8", "backslashreplace").decode("utf-8")  # Names of files and classes may not be UTF-8.


def draw_charts(lines: list[dict[str, Any]]) -> str:
    """Draw the charts of the metrics that training logged, as HTML."""
    charts = []
    for title, patterns in (chart for category in CHARTS.values() for chart in category.items()):
        names = [name for name in _find_newest_names(lines) if any(re.fullmatch(pattern, name) for pattern in patterns)]
        if len(names) > _MAX_CURVES:
            series = _find_extremes(lines, names)
        else:
            series = {name: _collect_points(lines, name) for name in names}
        if any(math.isfinite(value) for points in series.values() for _, value in points):
            charts.append(draw_line_chart(title, series))
    return f'<div class="charts">{"".join(charts)}</div>' if charts else ""


def _find_newest_names(lines: list[dict[str, Any]]) -> list[str]:
    """Return the names in the last line of each kind."""
    newest = {line.get("kind"): line for line in lines}
    return [name for line in newest.values() for name in line]


def _collect_points(lines: list[dict[str, Any]], name: str) -> Points:
    return [(line["step"], line[name]) for line in lines if isinstance(line.get(name), int | float)]


def _find_extremes(lines: list[dict[str, Any]], names: list[str]) -> dict[str, Points]:
    values = [
        (line["step"], [line[name] for name in names if isinstance(line.get(name), int | float)]) for line in lines
    ]
    return {
        f"{word} of {len(names)}": [(step, pick(found)) for step, found in values if found]
        for word, pick in (("largest", max), ("smallest", min))
    }


def format_metrics(lines: list[dict[str, Any]]) -> str:
    """Format a table of the evaluations, with the weights, extractor and reference."""
    evaluations = [line for line in lines if line.get("kind") == "evaluation"]
    names = list(dict.fromkeys(name for line in evaluations for name in line.get("formulas", {})))
    if not evaluations:
        return ""
    head = "".join(f"<th>{html.escape(name)}</th>" for name in ("step", *names, "weights", "extractor", "reference"))
    rows = []
    for line in evaluations:
        values = [_format_metric(line.get(name)) for name in names]
        about = [line.get("generator_weights", "ema"), line.get("extractor", "")]
        about.append((line.get("reference") or {}).get("images", ""))
        cells = [f"{line['step']:,}", *values, *map(str, about)]
        rows.append("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in cells) + "</tr>")
    return f'<div class="wide"><table><tr>{head}</tr>{"".join(rows)}</table></div>'


def embed_sample_grids(directory: pathlib.Path) -> str:
    """Embed a few of the sample grids in a directory, from the first to the last."""
    paths = sorted(path for path in directory.glob("step_*.png") if path.stem.removeprefix("step_").isdecimal())
    if len(paths) > _MAX_GRIDS:
        paths = [paths[round(index * (len(paths) - 1) / (_MAX_GRIDS - 1))] for index in range(_MAX_GRIDS)]
    figures = []
    for path in paths:
        data = base64.b64encode(path.read_bytes()).decode()
        caption = f"step {int(path.stem.partition('_')[2]):,}"
        image = f'<img alt="{caption}" src="data:image/png;base64,{data}">'
        figures.append(f"<figure>{image}<figcaption>{caption}</figcaption></figure>")
    return f'<div class="grids">{"".join(figures)}</div>' if figures else ""


def draw_attention_maps(directory: RunDirectory) -> str:
    """Draw the sheet of `sagan_tf.sample --mode=attention`.

    It is empty if the run has no checkpoint, and a sentence if the generator has no attention layers.
    """
    if not list(directory.checkpoints.glob("step-*.index")):
        return ""
    load_tensorflow()
    import numpy as np

    from sagan_tf.generation.generators import load_generator_from_run
    from sagan_tf.sampling.attention import make_attention_sheet
    from sagan_tf.sampling.options import SampleOptions
    from sagan_tf.visualization.attention_page import encode_png_data_url

    generator = load_generator_from_run(str(directory.path))
    options = SampleOptions(run_dir=str(directory.path), mode="attention", output="attention.png")
    try:
        sheet = np.asarray(make_attention_sheet(generator, options))
    except UserError as error:  # A report is useful without attention maps, too.
        return f"<p>{html.escape(str(error))}</p>"
    text = "Each row shows an image with colored dots, and for each dot, in bright, the locations that it attends to."
    return f'<p>{text}</p><img alt="attention maps" src="{encode_png_data_url(sheet)}">'


def format_values(values: dict[str, Any]) -> str:
    """Format a collapsed table of names and values."""
    rows = (
        f"<tr><td>{html.escape(str(name))}</td><td>{html.escape(str(value)) or 'empty'}</td></tr>"
        for name, value in values.items()
    )
    return f"<details><summary>{len(values)} values</summary><table>{''.join(rows)}</table></details>" if values else ""


def _format_metric(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_format_metric(part)}" for name, part in value.items())
    return "" if value is None else f"{value:.4f}"


def _flatten(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in values.items():
        flat |= _flatten(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value}
    return flat


def _read_json(path: pathlib.Path) -> dict[str, Any]:
    try:
        value = json.loads(read_text(path))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Run @TITLE@</title>
<style>
  body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 1440px; padding: 0 1rem; color: #1b1b1b; }
  h1 { font-size: 1.4rem; margin-bottom: 0; }
  h2 { font-size: 1.1rem; margin: 2rem 0 .6rem; border-bottom: 1px solid #ddd; padding-bottom: .2rem; }
  .charts, .grids { display: flex; flex-wrap: wrap; gap: 1rem; align-items: flex-start; }
  table { border-collapse: collapse; font-size: .9rem; }
  th, td { text-align: left; padding: .2rem .8rem .2rem 0; border-bottom: 1px solid #eee; }
  td { font-variant-numeric: tabular-nums; }
  figure { margin: 0; } figcaption { font-size: .9rem; color: #444; }
  .grids img { width: 420px; } img { max-width: 100%; }
  summary { cursor: pointer; }
  .wide { overflow-x: auto; } .wide td { white-space: nowrap; }
</style>
</head>
<body>
<h1>Run @TITLE@</h1>
<p>A self-attention GAN, after @STEPS@ steps.</p>
@BODY@
</body>
</html>
"""


if __name__ == "__main__":
    sys.exit(run_command("report", main))
