"""Tests of two workers on this machine when one is stopped, dies or hangs: both end, and the run can be resumed."""

import json
import pathlib
import signal
import subprocess
import time

import pytest

from tests.faults.outcomes import read_metrics, read_tensors
from tests.training.tiny import PLAINEST_FLAGS, RUN_FLAGS
from tests.waiting import wait_until
from tests.workers import run_workers, start_workers

FLAGS = ["-m", "sagan_tf.train", *RUN_FLAGS, *PLAINEST_FLAGS, "--strategy=multi_worker", "--loss=wasserstein"]
FLAGS += ["--steps_per_loop=2", "--log_every=2", "--sample_every=100000"]
MAX_DISCONNECT_SECONDS = 30.0
"""Time within which a broken connection ends the other worker; usually it takes a few seconds."""
MAX_HANG_SECONDS = 180.0
"""Time within which a worker that no longer answers is detected; TensorFlow waits for a hundred heartbeats."""
MAX_STALL_SECONDS = 240.0
"""Time after which a test fails if workers neither train nor end; a worker that lost the other ends earlier."""
MAX_STEPS_AFTER_SIGNAL = 300
"""Number of steps within which workers agree where to stop; usually it takes a few dozen."""


def start(run_dir: pathlib.Path, *flags: str) -> list[list[str]]:
    return [[*FLAGS, f"--run_dir={run_dir}", *flags]] * 2


def wait_for_lines(run_dir: pathlib.Path, count: int, seconds: float = 240.0) -> None:
    """Wait until the run has written a number of lines of metrics, which shows that it trains."""
    path = run_dir / "metrics.jsonl"
    wait_until(lambda: path.exists() and path.read_text().count("\n") >= count, seconds=seconds)


def wait_for_end(worker: subprocess.Popen[str], seconds: float) -> tuple[int, str]:
    """Wait for the end of a worker, and return its exit status and the only line of the command itself.

    TensorFlow may print further lines, because the worker that exits last finds that the other is gone.
    """
    printed, _ = worker.communicate(timeout=seconds)
    lines = [line for line in printed.splitlines() if line.startswith("sagan_tf.train: ")]
    assert len(lines) == 1, printed
    return worker.returncode, lines[0]


def wait_for_stop(workers: list[subprocess.Popen[str]], run_dir: pathlib.Path) -> list[tuple[int, str]]:
    """Wait for the end of workers after a signal; fail if they train too many steps after the signal.

    The limit is a number of steps and not of seconds, which depend on the load of the machine.
    """
    done = read_last_step(run_dir)
    limit, end = done + MAX_STEPS_AFTER_SIGNAL, time.monotonic() + MAX_STALL_SECONDS
    while any(worker.poll() is None for worker in workers):
        if (step := read_last_step(run_dir)) > done:
            done, end = step, time.monotonic() + MAX_STALL_SECONDS
        assert step <= limit, f"the workers trained {MAX_STEPS_AFTER_SIGNAL} steps after the signal"
        assert time.monotonic() < end, f"the workers neither trained nor ended within {MAX_STALL_SECONDS} s"
        time.sleep(0.1)
    return [wait_for_end(worker, MAX_DISCONNECT_SECONDS) for worker in workers]


def read_last_step(run_dir: pathlib.Path) -> int:
    text = (run_dir / "metrics.jsonl").read_text()
    return json.loads(text[: text.rindex("\n")].splitlines()[-1])["step"]


def find_newest_step(run_dir: pathlib.Path) -> int:
    return max(int(path.stem.removeprefix("step-")) for path in (run_dir / "checkpoints").glob("step-*.index"))


def assert_resumed_run_equals_whole(directory: pathlib.Path, begun: int, num_steps: int, *flags: str) -> None:
    """Assert that the interrupted run `a` resumes at a step and ends as the run `b`, which is not interrupted."""
    flags = (*flags, f"--num_steps={num_steps}")
    assert all(f"resumed at step {begun}" in printed for printed in run_workers(start(directory / "a", *flags)))
    run_workers(start(directory / "b", *flags))
    assert read_tensors(directory / "a") == read_tensors(directory / "b")
    steps = [line["step"] for line in read_metrics(directory / "a") if line["kind"] == "train"]
    assert steps == sorted(set(steps))  # only one worker writes


@pytest.mark.slow
@pytest.mark.parametrize("signaled", [[1], [0, 1]])
def test_a_signal_stops_both_workers(tmp_path, signaled):
    """TensorFlow's PreemptionCheckpointHandler stops both workers at the same step, which is saved.

    A scheduler signals both workers.
    """
    run_dir, flags = tmp_path / "a", ["--num_steps=1000000", "--checkpoint_every=1000000"]
    with start_workers(start(run_dir, *flags)) as workers:
        wait_for_lines(run_dir, 2)
        for index in signaled:
            workers[index].send_signal(signal.SIGUSR1)
        found = wait_for_stop(workers, run_dir)
    step = find_newest_step(run_dir)
    assert [status for status, _ in found] == [138, 138]
    assert all(f"step {step} " in line and str(run_dir) in line for _, line in found), found
    assert list((run_dir / "checkpoints").glob("*temp*")) == []
    if len(signaled) == 2:
        assert_resumed_run_equals_whole(tmp_path, step, step + 2, "--checkpoint_every=1000000")


@pytest.mark.slow
@pytest.mark.parametrize("killed", [0, 1])
def test_death_of_one_worker_ends_both_and_the_run_can_be_resumed(tmp_path, killed):
    """The chief, which coordinates the workers, may die, too. The results are those of an uninterrupted run."""
    flags = ["--checkpoint_every=4", "--num_steps=1000000"]
    with start_workers(start(tmp_path / "a", *flags)) as workers:
        wait_for_lines(tmp_path / "a", 4)
        workers[killed].kill()
        status, line = wait_for_end(workers[1 - killed], MAX_DISCONNECT_SECONDS)
    assert status == 75
    assert line.startswith(f"sagan_tf.train: worker {killed} no longer answers (") and "Detected at node" not in line
    begun = find_newest_step(tmp_path / "a")
    assert_resumed_run_equals_whole(tmp_path, begun, begun + 4, "--checkpoint_every=4")


@pytest.mark.slow
def test_workers_without_shared_storage_are_an_error(tmp_path):
    """One worker would resume and the other would start a new run, with gradients of different weights."""
    run_workers(start(tmp_path / "a", "--num_steps=2"))
    commands = [[*FLAGS, f"--run_dir={tmp_path / name}", "--num_steps=4"] for name in ("a", "b")]
    with start_workers(commands) as workers:
        found = [wait_for_end(worker, 120) for worker in workers]
    for status, line in found:
        assert status == 2 and "error: run_dir: " in line and "steps 0 and 2" in line
    assert not (tmp_path / "b").exists()


@pytest.mark.slow
def test_hanging_worker_ends_the_other(tmp_path):
    with start_workers(start(tmp_path, "--num_steps=1000000", "--checkpoint_every=4")) as workers:
        wait_for_lines(tmp_path, 2)
        workers[1].send_signal(signal.SIGSTOP)
        status, line = wait_for_end(workers[0], MAX_HANG_SECONDS)
    assert status == 75 and "worker 1 no longer answers" in line
