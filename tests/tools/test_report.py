"""Tests of the report of a run, in a browser too."""

from __future__ import annotations

import json
import math
import pathlib
import re
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sagan_tf.errors import UserError
from sagan_tf.runs.run_directory import RunDirectory
from sagan_tf.sampling import attention
from tests.browser import Page
from tests.stored.test_stored import unpack
from tools import report
from tools.reporting.curves import draw_charts
from tools.reporting.images import draw_attention_sheet, read_sample_grids

ROOT = pathlib.Path(__file__).parents[2]
EVALUATION: dict[str, Any] = {
    "step": 150,
    "kind": "evaluation",
    "fcd": 12.34567,
    "precision_recall": {"precision": 0.5, "recall": 0.25},
    "class_agreement": {"mean": 0.7, "worst": 0.4},
    "worst_class": {"class_agreement": "<Coat>"},
    "classes": {
        "name": ["Bag", "<Coat>"],
        "reference_images": [1200, 7],
        "class_agreement/agreement": [1.0, 0.4],
        "class_precision_recall/recall": [0.625, None],
    },
    "formulas": {"fcd": "", "precision_recall": "", "class_agreement": ""},
    "reference": {"images": "<script>document.title = 1</script>"},
}


def write_grids(directory: pathlib.Path, count: int) -> None:
    directory.mkdir()
    for step in range(1, count + 1):
        Image.fromarray(np.zeros((8, 8), np.uint8)).save(directory / f"step_{step:08d}.png")
    (directory / "step_last.png").touch()


@pytest.fixture
def run_dir(tmp_path: pathlib.Path) -> pathlib.Path:
    path = unpack("run", tmp_path)
    write_grids(path / "samples", 2)
    with (path / "metrics.jsonl").open("a") as file:
        file.write(json.dumps(EVALUATION) + '\n{"step": 600, "half a li')
    return path


def test_the_page_of_a_run_in_a_browser(run_dir: pathlib.Path, browser: Page) -> None:
    assert report.run([f"--run_dir={run_dir}"]) == 0
    browser.open(f"file://{run_dir}/report.html")
    browser.wait_for_text("Run run", "after 150 steps", "12.3457", "precision 0.5000, recall 0.2500", "step 2")
    browser.wait_for_text("worst 0.4000 (<Coat>)", "at step 150", "0.6250", "1,200")
    browser.wait_for_text(EVALUATION["reference"]["images"], "dead discriminator", "discriminator_loss: ")
    browser.wait_for_text("base_channels", "tensorflow", "Where the generator looks")
    assert browser.evaluate("document.title") == "Run run"
    loaded = "[...document.images].map(image => image.complete && image.naturalWidth >= 8)"
    assert browser.evaluate(loaded) == [True] * 3
    assert browser.evaluate("document.querySelectorAll('svg').length") > 5
    # The page needs no other file.
    assert browser.evaluate("performance.getEntriesByType('resource').map(file => file.name.slice(0, 5))") in (
        [],
        ["data:"] * 3,
    )
    assert browser.evaluate("document.scripts.length") == 0


def test_the_page_of_a_run(run_dir: pathlib.Path) -> None:
    assert report.run([f"--run_dir={run_dir}"]) == 0
    page = (run_dir / "report.html").read_text()
    assert "precision 0.5000, recall 0.2500" in page and "<script" not in page
    assert "<td>&lt;Coat&gt;</td><td>7</td><td>0.4000</td><td></td><td>class_agreement</td>" in page
    assert page.count("data:image/png;base64,") == 3


def test_a_report_without_attention_maps_has_the_reason(run_dir: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise UserError("there are <none>")

    monkeypatch.setattr(attention, "make_attention_sheet", fail)
    assert report.run([f"--run_dir={run_dir}"]) == 0
    page = (run_dir / "report.html").read_text()
    assert "there are &lt;none&gt;" in page and "attention maps" not in page


def test_a_run_without_checkpoints_and_metrics(tmp_path: pathlib.Path) -> None:
    (tmp_path / "flags.cfg").write_text("--seed=1\n")
    assert draw_attention_sheet(RunDirectory(tmp_path)) is None
    assert report.run([f"--run_dir={tmp_path}", f"--output={tmp_path}/new/a.html"]) == 0
    page = (tmp_path / "new" / "a.html").read_text()
    assert page.startswith("<!DOCTYPE html>") and page.count("<section>") == 1 and "seed" in page


def test_charts_of_values_that_are_not_finite() -> None:
    lines: list[dict[str, Any]] = [{"step": 1, "generator_loss": None, "discriminator_loss": math.nan}]
    assert draw_charts(lines) == draw_charts([]) == []
    lines.append({"step": 2, "generator_loss": 1.5, "discriminator_loss": math.inf})
    (chart,) = draw_charts(lines)
    assert "generator_loss: 1.5" in chart and "discriminator_loss" not in chart


def test_many_curves_are_reduced_to_the_extremes() -> None:
    names = [f"sigma/generator/layer_{index}" for index in range(9)]
    few, many = ([{"step": 1} | {name: float(index) for index, name in enumerate(names[:count])}] for count in (8, 9))
    ((chart,), (reduced,)) = draw_charts(few), draw_charts(many)
    assert "layer_7: 7" in chart and "largest" not in chart
    assert "largest of 9: 8" in reduced and "smallest of 9: 0" in reduced and "layer_" not in reduced


def test_grids_are_spread_over_the_run(tmp_path: pathlib.Path) -> None:
    write_grids(tmp_path / "samples", 20)
    assert list(read_sample_grids(tmp_path / "samples")) == [1, 5, 9, 12, 16, 20]


@pytest.mark.parametrize(
    ("flags", "option", "value"),
    [
        ([], "run_dir", ""),
        (["--run_dir=/nowhere"], "run_dir", "/nowhere"),
        (["--run_dir=RUN", "--output=/proc/nowhere/a.html"], "output", "/proc/nowhere/a.html"),
        (["--run_dir=RUN"], "run_dir", "step_00000003.png"),
    ],
)
def test_errors(flags: list[str], option: str, value: str, run_dir: pathlib.Path, capsys) -> None:
    (run_dir / "samples" / "step_00000003.png").mkdir()  # It cannot be read.
    assert report.run([flag.replace("RUN", str(run_dir)) for flag in flags]) == 2
    *usage, error = capsys.readouterr().err.splitlines()
    assert f"error: {option}: " in error and value in error and len(usage) == (not flags)
    assert not (run_dir / "report.html").exists()


def test_an_error_without_a_file_name_names_the_run(run_dir: pathlib.Path, capsys, monkeypatch) -> None:
    def fail(directory: object) -> str:
        raise OSError("no file name")

    monkeypatch.setattr("tools.reporting.page.format_page", fail)
    assert report.run([f"--run_dir={run_dir}"]) == 2
    error = capsys.readouterr().err
    assert "run_dir: " in error and str(run_dir) in error and "no file name" in error and "None" not in error


def test_help_loads_no_large_library() -> None:
    command = [sys.executable, "-X", "importtime", "tools/report.py", "--help"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert "--run_dir" in result.stdout
    imported = set(re.findall(r"\| +(\S+)$", result.stderr, re.MULTILINE))
    assert "sagan_tf.cli.flags" in imported and not imported & {"matplotlib", "jinja2", "tensorflow"}
