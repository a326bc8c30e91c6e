"""Tests of the report of a run and its sections, in a browser too."""

from __future__ import annotations

import json
import pathlib
import re
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from sagan_tf import train
from sagan_tf.runs.run_directory import RunDirectory
from tests.browser import browser_page
from tools.report import draw_charts, embed_sample_grids, format_page

ROOT = pathlib.Path(__file__).parents[2]
SMALL = ["--dataset=fashion_mnist_10k", "--resolution=32", "--image_channels=1", "--attention_resolutions=16"]
SMALL += ["--base_channels=2", "--global_batch_size=8", "--steps_per_loop=2", "--strategy=one_device", "--num_steps=4"]
SMALL += ["--log_every=2", "--sample_every=2"]
EVALUATION = {
    "step": 4,
    "kind": "evaluation",
    "fcd": 12.34567,
    "precision_recall": {"precision": 0.5, "recall": 0.25},
    "formulas": {"fcd": "", "precision_recall": ""},
    "generator_weights": "ema",
    "extractor": "fashion_mnist/1",
    "reference": {"images": "<script>alert(1)</script>"},
}


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    path = tmp_path_factory.mktemp("runs") / "small_run"
    assert train.run([*SMALL, f"--run_dir={path}"]) == 0
    with (path / "metrics.jsonl").open("a") as file:
        file.write(json.dumps(EVALUATION) + '\n{"step": 6, "half a li')
    return path


def call(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "tools/report.py", *arguments], cwd=ROOT, capture_output=True, text=True)


def test_the_page_of_a_run_shows_in_a_browser(run_dir: pathlib.Path, tmp_path: pathlib.Path) -> None:
    result = call(f"--run_dir={run_dir}")
    assert result.returncode == 0, result.stderr
    page = (run_dir / "report.html").read_text()
    assert page.count("<svg") == 17 and page.count("data:image/png;base64,") == 3
    for text in (
        "Run small_run",
        "after 4 steps",
        "12.3457",
        "precision 0.5000, recall 0.2500",
        "base_channels",
        "dying discriminator",
    ):
        assert text in page, text
    assert "<script>" not in page
    assert re.findall(r'(?:src|href)="(?!data:)', page) == []  # The page needs no other file.
    with browser_page(str(tmp_path / "profile")) as browser:
        browser.open(f"file://{run_dir}/report.html")
        browser.wait_for_text("Where the generator looks", "discriminator_loss: ", "step 2", "tensorflow")
        loaded = "[...document.images].map(image => image.complete && image.naturalWidth > 100).join()"
        assert browser.evaluate(loaded) == "true,true,true"


def test_charts_omit_non_finite_values() -> None:
    lines = [{"step": 1, "generator_loss": None, "discriminator_loss": float("nan")}]
    assert draw_charts(lines) == ""
    lines.append({"step": 2, "generator_loss": 1.5, "discriminator_loss": float("inf")})
    assert draw_charts(lines).count("<svg") == 1 and "generator_loss: 1.5" in draw_charts(lines)
    assert draw_charts([]) == ""


def test_many_curves_are_reduced_to_the_extremes() -> None:
    names = [f"sigma/generator/layer_{index}" for index in range(9)]
    few, many = ([{"step": 1} | {name: float(index) for index, name in enumerate(names[:count])}] for count in (8, 9))
    assert "layer_7: 7" in draw_charts(few) and "largest" not in draw_charts(few)
    charts = draw_charts(many)
    assert "largest of 9: 8" in charts and "smallest of 9: 0" in charts and "layer_" not in charts


def test_a_run_without_attention_has_a_report(tmp_path: pathlib.Path) -> None:
    flags = [*SMALL, "--attention_block=residual", f"--run_dir={tmp_path}"]
    assert train.run(flags) == 0
    page = format_page(RunDirectory(tmp_path))
    assert "attention layers" in page and 'alt="attention maps"' not in page


def test_grids_are_spread_over_the_run(tmp_path: pathlib.Path) -> None:
    for step in range(1, 21):
        Image.fromarray(np.zeros((2, 2), np.uint8)).save(tmp_path / f"step_{step:08d}.png")
    (tmp_path / "step_last.png").touch()
    assert re.findall(r"<figcaption>step (\d+)<", embed_sample_grids(tmp_path)) == ["1", "5", "9", "12", "16", "20"]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--run_dir=/nowhere"], "run_dir: .* /nowhere$"),
        (["--run_dir=RUN", "--output=/proc/nowhere/a.html"], "output: .*/proc/nowhere/a.html"),
    ],
)
def test_invalid_options_get_one_line(run_dir: pathlib.Path, flags: list[str], message: str) -> None:
    result = call(*(flag.replace("RUN", str(run_dir)) for flag in flags))
    assert result.returncode == 2 and len(result.stderr.splitlines()) == 1
    assert re.match(f"report: error: {message}", result.stderr.strip())
