"""Every study with two settings and two seeds at toy size, killed after a checkpoint and continued on two devices."""

from __future__ import annotations

import csv
import json
import pathlib
import re
import signal
import subprocess
import sys
import time

import pytest

from sagan_tf.environment.cores import list_usable_cores
from tests.training.tiny import RUN_FLAGS
from tools.comparisons.records import flatten_metrics
from tools.comparisons.run_files import read_run_records
from tools.repository import ROOT

BASE = (
    *RUN_FLAGS,
    "--attention_resolutions=16",
    "--generator_widths=4,2,1,1",
    "--discriminator_widths=1,2,2,2",
    "--discriminator_downsample=1,1,1,0",
    "--num_steps=8",
    "--steps_per_loop=2",
    "--log_every=2",
    "--checkpoint_every=2",
    "--evaluate_every=2",
    "--ema_start_step=0",
    "--extractor=fashion_mnist",
    "--metrics=fcd1k,label_agreement1k",
)
SETTINGS = {
    "stabilization": ("sn_in_discriminator", "sn_in_both_and_ttur"),
    "attention": ("attention_8", "residual_8"),
    "baselines": ("dcgan", "sagan"),
    "attention_form": ("pooled", "full"),
    "recipes": ("augmentation", "lecam"),
}
ATTENTION_SHEETS = {"stabilization": 0, "attention": 1, "baselines": 1, "attention_form": 2, "recipes": 2}


def read_finished(run_dir: pathlib.Path) -> dict[pathlib.Path, str]:
    """Return the records of finished cells, as text."""
    records = {path: path.read_text() for path in run_dir.glob("*/seed_?.json")}
    return {path: text for path, text in records.items() if '"status": "finished"' in text}


def find_saved_run(run_dir: pathlib.Path) -> pathlib.Path | None:
    """Return the directory of a run that has a checkpoint, and whose cell has not been evaluated."""
    saved = {path.parents[1] for path in run_dir.glob("*/seed_?/checkpoints/step-*.index")}
    return next((path for path in saved if not path.with_suffix(".evaluation.json").exists()), None)


def check_protocol(record: pathlib.Path) -> None:
    """Check that the evaluation after training has the values of the one at the last step of training."""
    cell = json.loads(record.read_text())
    lines = [line for line in read_run_records(record.with_suffix("")) if line["kind"] == "evaluation"]
    assert lines[-1]["step"] == cell["step"] and cell["replicas"] == 1
    assert flatten_metrics(lines[-1]) == pytest.approx(cell["values"], rel=1e-3, abs=2e-3)


@pytest.mark.slow
@pytest.mark.parametrize("study", SETTINGS)
def test_a_killed_study_continues(study: str, tmp_path: pathlib.Path):
    run_dir = tmp_path / "runs"
    (tmp_path / "base.cfg").write_text("\n".join(BASE) + "\n")
    command = [sys.executable, "tools/ablation.py", f"--study={study}", f"--settings={','.join(SETTINGS[study])}"]
    command += [f"--base={tmp_path / 'base.cfg'}", "--seeds=2", f"--run_dir={run_dir}"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    while process.poll() is None and not (read_finished(run_dir) and find_saved_run(run_dir)):
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    killed, finished = find_saved_run(run_dir), read_finished(run_dir)
    assert killed and finished
    command.append(f"--devices=cpu,cpu:{min(list_usable_cores())}")
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "4 finished" in done.stdout and finished.items() <= read_finished(run_dir).items()
    assert int(re.findall(r"resumed at step (\d+)", killed.with_suffix(".log").read_text())[-1]) > 0
    for record in read_finished(run_dir):
        check_protocol(record)
    rows = list(csv.DictReader((run_dir / "results.csv").read_text().splitlines()))
    assert [row["status"] for row in rows] == ["finished"] * 4 and {row["last_step"] for row in rows} == {"8"}
    names = {path.name for path in run_dir.iterdir()}
    assert {"results.md", "differences.csv", "commands.txt", "last_step.svg", "curves.svg", "samples.png"} <= names
    assert ("gamma.svg" in names) == (study != "stabilization")
    assert len(list(run_dir.glob("attention_*.png"))) == ATTENTION_SHEETS[study]
