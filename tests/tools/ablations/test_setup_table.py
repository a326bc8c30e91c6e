"""Tests of the table of the setup, and of texts without paths of the machine."""

from __future__ import annotations

import json
import os
import pathlib

import pytest

from sagan_tf.config import Config, TrainingConfig
from tests.tools.ablations.toy_outcomes import FCD, write_cell
from tools.ablations.outcomes import Outcome, read_outcomes
from tools.ablations.plan import Plan
from tools.ablations.portable import format_portable_command, hide_paths
from tools.ablations.setup_table import find_unequal_devices, make_setup_table
from tools.ablations.studies import Study
from tools.comparisons.cells import Cell, Limit
from tools.comparisons.settings import Setting


@pytest.fixture
def outcomes(tmp_path: pathlib.Path) -> list[Outcome]:
    """Return the outcomes of two cells that ended on two days; the second has two replicas."""
    cells = [write_cell(tmp_path, "plain", seed, FCD["plain"][seed]) for seed in (0, 1)]
    for cell in cells:
        devices = ["/device:GPU:0", "/device:GPU:1"][: cell.seed + 1]
        startup = {"data": {"num_examples": 6000, "num_classes": 1}, "replicas": len(devices), "devices": devices}
        (cell.run_dir / "startup.json").write_text(json.dumps(startup))
        (cell.run_dir / "versions.json").write_text('{"sagan-tf": "0.1.0", "keras": "3.15.1"}')
        os.utime(cell.path_with_suffix(".json"), (86400.0 * cell.seed, 86400.0 * cell.seed))
    return read_outcomes(cells, "fcd10k")


def test_the_setup_names_the_settings_that_differ(outcomes, tmp_path):
    training = TrainingConfig(generator_learning_rate=1e-3, ema_decay=0.0)
    other = Cell(Setting("other", ()), 0, Limit(30, 0.0), (), tmp_path, Config(training=training))
    cells = (*(outcome.cell for outcome in outcomes), other)
    plan = Plan(Study("s", "", ()), f"{tmp_path}/base.cfg", Config(), cells, "fcd10k", tmp_path, ())
    table = dict(make_setup_table(plan, outcomes))
    assert table["base"] == "`base.cfg`" and table["steps"] == "30" and table["seeds"] == "0 to 1"
    assert table["data"] == "imagenet2012, train: 6,000 images, 1 class" and table["images"] == "128 px, 3 channels"
    assert table["learning rates"].endswith("; other: generator 0.001, discriminator 0.0004")
    assert "EMA" in table["weights"] and table["weights"].endswith("; other: live (no EMA)")
    assert table["metrics"] == "fid, is of 50,000 images" and table["extractor"] == "inception"
    assert table["versions"] == "sagan-tf 0.1.0, keras 3.15.1" and table["devices"] == "GPU:0 / GPU:0, GPU:1"
    assert table["cells ended"] == "1970-01-01 to 1970-01-02"


def test_cells_of_a_setting_with_different_devices_are_named(outcomes):
    (note,) = find_unequal_devices(outcomes)
    assert note.startswith("plain: ") and "2 replicas on 2 devices: seed 1" in note
    (outcomes[1].cell.run_dir / "startup.json").unlink()
    assert find_unequal_devices(outcomes) == []


def test_a_portable_command_has_no_paths_of_the_machine(tmp_path):
    flags = (f"--flagfile={tmp_path}/b.cfg", "--data_dir=gs://bucket", f"--held_out=folder:{tmp_path}", "--augment=a,b")
    cell = Cell(Setting("plain", ("--reference=~/mine",)), 1, Limit(30, 0.0), flags, tmp_path, Config())
    command = format_portable_command(cell).split()
    assert command[:5] == ["python", "-m", "sagan_tf.train", "--flagfile=b.cfg", "--data_dir=DATA"]
    assert command[5:] == [
        "--held_out=folder:HELD_OUT", "--augment=a,b", "--reference=REFERENCE", "--seed=1", "--run_dir=plain/seed_1",
        "--num_steps=30",
    ]  # fmt: skip
    assert hide_paths("tfrecord:test", "own") == "tfrecord:test" and hide_paths("/a/b,c/d", "own") == "own,c/d"
