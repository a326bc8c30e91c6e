"""Every study with two settings and two seeds at toy size, killed half-way and continued on two devices."""

from __future__ import annotations

import csv
import pathlib
import signal
import subprocess
import sys
import time

import pytest

from tests.training.tiny import RUN_FLAGS
from tools.repository import ROOT

BASE = (
    *RUN_FLAGS,
    "--attention_resolutions=16",
    "--generator_widths=4,2,1,1",
    "--discriminator_widths=1,2,2,2",
    "--discriminator_downsample=1,1,1,0",
    "--num_steps=4",
    "--steps_per_loop=2",
    "--log_every=2",
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
ATTENTION_SHEETS = {"stabilization": 2, "attention": 1, "baselines": 1, "attention_form": 2, "recipes": 2}


def wait_until_half_is_done(process: subprocess.Popen[str], run_dir: pathlib.Path) -> None:
    while process.poll() is None and len(list(run_dir.glob("*/seed_*.evaluation.json"))) < 2:
        time.sleep(0.2)


@pytest.mark.slow
@pytest.mark.parametrize("study", SETTINGS)
def test_a_killed_study_continues(study: str, tmp_path: pathlib.Path):
    (tmp_path / "base.cfg").write_text("\n".join(BASE) + "\n")
    command = [sys.executable, "tools/ablation.py", f"--study={study}", f"--settings={','.join(SETTINGS[study])}"]
    command += [f"--base={tmp_path / 'base.cfg'}", "--seeds=2", f"--run_dir={tmp_path / 'runs'}"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    wait_until_half_is_done(process, tmp_path / "runs")
    process.send_signal(signal.SIGKILL)
    process.communicate()
    records = list((tmp_path / "runs").glob("*/seed_*.json"))
    finished = {path: path.read_text() for path in records if '"status": "finished"' in path.read_text()}
    assert 1 <= len(finished) < 4
    done = subprocess.run([*command, "--devices=cpu,cpu:0"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "4 finished" in done.stdout and all(path.read_text() == text for path, text in finished.items())
    rows = list(csv.DictReader((tmp_path / "runs" / "results.csv").read_text().splitlines()))
    assert [row["status"] for row in rows] == ["finished"] * 4 and {row["last_step"] for row in rows} == {"4"}
    assert all(float(row["best/fcd1k"]) <= float(row["last/fcd1k"]) for row in rows)
    names = {path.name for path in (tmp_path / "runs").iterdir()}
    assert {"results.md", "differences.csv", "commands.txt", "curves.svg", "gamma.svg", "samples.png"} <= names
    assert len(list((tmp_path / "runs").glob("attention_*.png"))) == ATTENTION_SHEETS[study]
