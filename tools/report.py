"""A report of a run as one HTML page to send to a colleague: what it was, how it went, what it makes.

    python tools/report.py --run_dir=RUN_DIR [--output=report.html]

The page needs no other file and no network: configuration, curves, metrics, sample grids through training, attention
maps of the averaged generator, and versions.
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
from sagan_tf.cli.flags import parse_config
from sagan_tf.cli.load_tensorflow import load_tensorflow
from sagan_tf.errors import UserError
from sagan_tf.files import check_can_write_file, write_atomically, write_result
from sagan_tf.runs.run_directory import RunDirectory
from sagan_tf.text import read_text
from sagan_tf.visualization.charts import CHARTS
from sagan_tf.visualization.line_chart import Points, line_chart
from tools.reporting.health import health_section

_MOST_GRIDS = 6
_MOST_CURVES = 8
"""In one chart; of more, the largest and the smallest value are drawn."""
_NOT_METRICS = ("step", "kind", "seed", "collapse")


def main() -> int:
    """Run the command; return its exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run_dir", required=True, help="folder of the run")
    parser.add_argument("--output", default="", help="the page; default: report.html in the run's folder")
    options = parser.parse_args()
    return run_action("report", lambda: write_report(options.run_dir, options.output))


def write_report(run_dir: str, output_name: str) -> None:
    """Write the report of a run."""
    directory = RunDirectory(run_dir)
    if not directory.flags.is_file():
        raise UserError(f"run_dir: expected the folder of a run, with flags.cfg in it, received {run_dir}")
    output = pathlib.Path(os.path.expanduser(output_name)) if output_name else directory.path / "report.html"
    check_can_write_file(output, "output")
    page = report(directory)
    write_result(output, "output", lambda path: write_atomically(path, page))
    sys.stdout.write(f"report of {directory.path} in {output}\n")


def report(directory: RunDirectory) -> str:
    """Return the page."""
    lines = read_lines(directory.metrics)
    title = directory.path.resolve().name
    sections = {
        "Metrics": metrics_table(lines),
        "Health": health_section(lines),
        "Curves": curves([line for line in lines if line.get("kind") in ("train", "health")]),
        "Pictures through training": sample_grids(directory.samples),
        "Where the generator looks": attention_maps(directory),
        "Configuration": table(directory.read_flags()),
        "Data, networks, devices": table(_flat(_read_json(directory.startup))),
        "Versions": table(_read_json(directory.versions)),
    }
    body = "\n".join(f"<section><h2>{name}</h2>\n{content}</section>" for name, content in sections.items() if content)
    steps = max((line["step"] for line in lines), default=0)
    page = _PAGE.replace("@TITLE@", html.escape(title)).replace("@STEPS@", f"{steps:,}").replace("@BODY@", body)
    return page.encode("utf-8", "backslashreplace").decode("utf-8")  # names of files and classes need not be UTF-8


def read_lines(path: pathlib.Path) -> list[dict[str, Any]]:
    """Return the lines of a `metrics.jsonl`; one that a crash left half written is left out."""
    lines = []
    for text in read_text(path, errors="replace").splitlines() if path.is_file() else []:
        try:
            line = json.loads(text)
        except json.JSONDecodeError:
            continue
        if isinstance(line, dict) and isinstance(line.get("step"), int):
            lines.append(line)
    return lines


def curves(lines: list[dict[str, Any]]) -> str:
    """Return the charts of what was logged while training."""
    charts = []
    for title, patterns in (chart for category in CHARTS.values() for chart in category.items()):
        names = [name for name in _newest_names(lines) if any(re.fullmatch(one, name) for one in patterns)]
        series = (
            _extremes(lines, names) if len(names) > _MOST_CURVES else {name: _points(lines, name) for name in names}
        )
        if any(math.isfinite(value) for points in series.values() for _, value in points):
            charts.append(line_chart(title, series))
    return f'<div class="charts">{"".join(charts)}</div>' if charts else ""


def _newest_names(lines: list[dict[str, Any]]) -> list[str]:
    """Return the names in the last line of each kind."""
    newest = {line.get("kind"): line for line in lines}
    return [name for line in newest.values() for name in line]


def _points(lines: list[dict[str, Any]], name: str) -> Points:
    return [(line["step"], line[name]) for line in lines if isinstance(line.get(name), int | float)]


def _extremes(lines: list[dict[str, Any]], names: list[str]) -> dict[str, Points]:
    values = [
        (line["step"], [line[name] for name in names if isinstance(line.get(name), int | float)]) for line in lines
    ]
    return {
        f"{word} of {len(names)}": [(step, pick(found)) for step, found in values if found]
        for word, pick in (("largest", max), ("smallest", min))
    }


def metrics_table(lines: list[dict[str, Any]]) -> str:
    """Return every evaluation, a row each, with what it was of."""
    evaluations = [line for line in lines if line.get("kind") == "evaluation"]
    names = list(dict.fromkeys(name for line in evaluations for name in line.get("formulas", {})))
    if not evaluations:
        return ""
    head = "".join(f"<th>{html.escape(name)}</th>" for name in ("step", *names, "weights", "extractor", "reference"))
    rows = []
    for line in evaluations:
        values = [_value(line.get(name)) for name in names]
        about = [line.get("generator_weights", "ema"), line.get("extractor", "")]
        about.append((line.get("reference") or {}).get("images", ""))
        cells = [f"{line['step']:,}", *values, *map(str, about)]
        rows.append("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in cells) + "</tr>")
    return f'<div class="wide"><table><tr>{head}</tr>{"".join(rows)}</table></div>'


def sample_grids(folder: pathlib.Path) -> str:
    """Return a few of the run's sample grids, from first to last."""
    paths = sorted(path for path in folder.glob("step_*.png") if path.stem.removeprefix("step_").isdecimal())
    if len(paths) > _MOST_GRIDS:
        paths = [paths[round(index * (len(paths) - 1) / (_MOST_GRIDS - 1))] for index in range(_MOST_GRIDS)]
    figures = []
    for path in paths:
        data = base64.b64encode(path.read_bytes()).decode()
        caption = f"step {int(path.stem.partition('_')[2]):,}"
        picture = f'<img alt="{caption}" src="data:image/png;base64,{data}">'
        figures.append(f"<figure>{picture}<figcaption>{caption}</figcaption></figure>")
    return f'<div class="grids">{"".join(figures)}</div>' if figures else ""


def attention_maps(directory: RunDirectory) -> str:
    """Return the sheet of mode attention, if the run has a checkpoint and attention."""
    if not list(directory.checkpoints.glob("step-*.index")):
        return ""
    load_tensorflow()
    import numpy as np

    from sagan_tf.generation.generators import generator_of_run
    from sagan_tf.sampling.attention import attention_picture
    from sagan_tf.sampling.options import SampleOptions
    from sagan_tf.visualization.attention_page import png_data_url

    generator = generator_of_run(str(directory.path), lambda path: parse_config([f"--flagfile={path}"]))
    options = SampleOptions(run_dir=str(directory.path), mode="attention", output="attention.png")
    try:
        picture = np.asarray(attention_picture(generator, options))
    except UserError as error:  # it has no attention: the rest is worth a report
        return f"<p>{html.escape(str(error))}</p>"
    text = "Each row: a picture with coloured dots, and for each dot, bright, where the generator looks from there."
    return f'<p>{text}</p><img alt="attention maps" src="{png_data_url(picture)}">'


def table(values: dict[str, Any]) -> str:
    """Names and values."""
    rows = (
        f"<tr><td>{html.escape(str(name))}</td><td>{html.escape(str(value)) or 'empty'}</td></tr>"
        for name, value in values.items()
    )
    return f"<details><summary>{len(values)} values</summary><table>{''.join(rows)}</table></details>" if values else ""


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_value(one)}" for name, one in value.items())
    return "" if value is None else f"{value:.4f}"


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in values.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value}
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
