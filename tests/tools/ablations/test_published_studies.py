"""The tables and charts of the last step in docs/results/ablations follow from the archives of records beside them."""

from __future__ import annotations

import csv
import pathlib
import re
import shlex
import zipfile

import pytest

from sagan_tf.cli.flags import Flags
from tests.visualization.test_dot_chart import read_marks
from tools.ablations.comparisons import format_comparisons_csv
from tools.ablations.last_step_chart import draw_last_step_chart
from tools.ablations.options import AblationOptions
from tools.ablations.outcomes import Outcome, read_outcomes
from tools.ablations.plan import Plan, create_plan
from tools.ablations.tables import format_cells_csv
from tools.repository import ROOT

PAGES = sorted((ROOT / "docs" / "results" / "ablations").glob("*/results.md"))


def read_rows(text: str) -> list[list[str | float]]:
    return [[convert(value) for value in row] for row in csv.reader(text.splitlines())]


def convert(value: str) -> str | float:
    try:
        return float(value)
    except ValueError:
        return value


@pytest.mark.parametrize("page", PAGES, ids=[page.parent.name for page in PAGES])
def test_tables_and_dots_follow_from_the_records(page: pathlib.Path, tmp_path: pathlib.Path):
    plan, outcomes = read_archive(page, tmp_path)
    tables = {
        "results.csv": format_cells_csv(outcomes),
        "differences.csv": format_comparisons_csv(outcomes, plan.study.pairs, plan.metric),
    }
    for name, text in tables.items():
        rows, published = read_rows(text), read_rows(page.with_name(name).read_text())
        assert len(rows) == len(published) > 1
        for row, expected in zip(rows, published, strict=True):
            # The last digits of logarithms and roots depend on the machine.
            assert row == [
                pytest.approx(value, rel=1e-9, nan_ok=True) if isinstance(value, float) else value for value in expected
            ]
    dots = read_marks(draw_last_step_chart(outcomes, plan.metric).svg)
    published_dots = read_marks(page.with_name("last_step.svg").read_text())
    assert [dot[:2] for dot in dots] == [dot[:2] for dot in published_dots]
    # The layout depends on the version of matplotlib.
    assert [dot[2:] for dot in dots] == [pytest.approx(dot[2:], abs=2.0) for dot in published_dots]


def read_archive(page: pathlib.Path, directory: pathlib.Path) -> tuple[Plan, list[Outcome]]:
    """Unpack the records of a page, and read them with the command of the page."""
    with zipfile.ZipFile(page.with_name("records.zip")) as archive:
        archive.extractall(directory)
    command = re.search(r"\| command \| `python tools/ablation.py (.*?)` \|", page.read_text())
    assert command
    flags = [flag for flag in shlex.split(command[1]) if not flag.startswith("--data_dir=")]
    (options,) = Flags(AblationOptions).parse([*flags, f"--run_dir={directory}", "--collect"])
    plan = create_plan(options)
    return plan, read_outcomes(plan.cells, plan.metric)
