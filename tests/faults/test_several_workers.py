"""Two workers on this machine, one of which is told to stop, dies or hangs: the other knows, and both can go on."""

from __future__ import annotations

import json
import pathlib
import signal
import subprocess
import time

import numpy as np
import pytest
import tensorflow as tf

from tests.training.tiny import PLAIN_FLAGS
from tests.workers import run_workers, started_workers

FLAGS = [
    "-m",
    "sagan_tf.train",
    "--dataset=fashion_mnist_10k",
    "--resolution=32",
    "--image_channels=1",
    *PLAIN_FLAGS,
    "--base_channels=2",
    "--loss=wasserstein",
    "--global_batch_size=8",
    "--steps_per_loop=2",
    "--log_every=2",
    "--sample_every=100000",
    "--strategy=multi_worker",
]
NOTICED = 30.0
"""Seconds within which a broken connection ends the others; seconds are the rule."""
HUNG = 180.0
"""Seconds within which a worker that no longer answers is given up; TensorFlow waits for a hundred heartbeats."""
STALLED = 240.0
"""Seconds after which workers that neither train nor end are given up; one that lost the other has ended before."""
MAX_STEPS_AFTER_SIGNAL = 300
"""Steps within which workers agree where to stop: a few dozen are the rule."""


def start(run_dir: pathlib.Path, *flags: str) -> list[list[str]]:
    return [[*FLAGS, f"--run_dir={run_dir}", *flags]] * 2


def wait_for_lines(run_dir: pathlib.Path, count: int, seconds: float = 240.0) -> None:
    """Until the run has written so many lines of metrics: it trains."""
    end = time.monotonic() + seconds
    path = run_dir / "metrics.jsonl"
    while time.monotonic() < end and not (path.exists() and path.read_text().count("\n") >= count):
        time.sleep(0.1)
    assert path.exists() and path.read_text().count("\n") >= count


def ended(worker: subprocess.Popen[str], seconds: float) -> tuple[int, str]:
    """Return a worker's status and the only line that the command printed in its own name, within some seconds.

    TensorFlow may print more afterwards: a worker that exits last notices that the other is gone.
    """
    printed, _ = worker.communicate(timeout=seconds)
    lines = [line for line in printed.splitlines() if line.startswith("sagan_tf.train: ")]
    assert len(lines) == 1, printed
    return worker.returncode, lines[0]


def stopped(workers: list[subprocess.Popen[str]], run_dir: pathlib.Path) -> list[tuple[int, str]]:
    """Return what `ended` does for workers that were told to stop; fail as soon as they train far beyond the signal.

    Steps are counted and not seconds, which depend on what else the machine does.
    """
    done = last_step(run_dir)
    limit, end = done + MAX_STEPS_AFTER_SIGNAL, time.monotonic() + STALLED
    while any(worker.poll() is None for worker in workers):
        if (step := last_step(run_dir)) > done:
            done, end = step, time.monotonic() + STALLED
        assert step <= limit, f"they trained {MAX_STEPS_AFTER_SIGNAL} steps after the signal"
        assert time.monotonic() < end, f"no step and no end within {STALLED} s"
        time.sleep(0.1)
    return [ended(worker, NOTICED) for worker in workers]


def last_step(run_dir: pathlib.Path) -> int:
    """Return the step of the last whole line of metrics."""
    text = (run_dir / "metrics.jsonl").read_text()
    return json.loads(text[: text.rindex("\n")].splitlines()[-1])["step"]


def values(run_dir: pathlib.Path, step: int) -> dict[str, bytes]:
    reader = tf.train.load_checkpoint(str(run_dir / "checkpoints" / f"step-{step}"))
    names = [name for name in reader.get_variable_to_shape_map() if not name.startswith(("_", "save_counter"))]
    return {name: np.asarray(reader.get_tensor(name)).tobytes() for name in names}


def newest_step(run_dir: pathlib.Path) -> int:
    return max(int(path.stem.removeprefix("step-")) for path in (run_dir / "checkpoints").glob("step-*.index"))


def test_a_signal_to_one_stops_both(tmp_path: pathlib.Path) -> None:
    """By TensorFlow's PreemptionCheckpointHandler: at the same step, which is saved."""
    with started_workers(start(tmp_path, "--num_steps=1000000", "--checkpoint_every=1000000")) as workers:
        wait_for_lines(tmp_path, 2)
        workers[1].send_signal(signal.SIGUSR1)
        found = stopped(workers, tmp_path)
    step = newest_step(tmp_path)
    expected = f"sagan_tf.train: stopped with all workers at step {step} and saved it in {tmp_path}; the same command"
    assert [status for status, _ in found] == [138, 138]
    assert all(line.startswith(expected) for _, line in found), found
    assert list((tmp_path / "checkpoints").glob("*temp*")) == []


@pytest.mark.slow
@pytest.mark.parametrize("killed", [0, 1])
def test_when_one_dies_the_other_ends_and_both_go_on(tmp_path: pathlib.Path, killed: int) -> None:
    """Also when it is the chief, which keeps the workers together. It ends as a run that nothing happened to."""
    flags = ["--checkpoint_every=4", "--num_steps=1000000"]
    with started_workers(start(tmp_path / "a", *flags)) as workers:
        wait_for_lines(tmp_path / "a", 4)
        workers[killed].kill()
        status, line = ended(workers[1 - killed], NOTICED)
    assert status == 75
    assert line.startswith(f"sagan_tf.train: worker {killed} does not answer any more (")
    assert "Detected at node" not in line and "look at its own output" in line
    begun = newest_step(tmp_path / "a")
    flags = ["--checkpoint_every=4", f"--num_steps={begun + 4}"]
    assert all(f"resumed at step {begun}" in printed for printed in run_workers(start(tmp_path / "a", *flags)))
    run_workers(start(tmp_path / "b", *flags))
    assert values(tmp_path / "a", begun + 4) == values(tmp_path / "b", begun + 4)


@pytest.mark.slow
def test_workers_that_share_no_storage_are_refused(tmp_path: pathlib.Path) -> None:
    """One would go on from its checkpoint, the other begin: gradients of different weights."""
    run_workers(start(tmp_path / "a", "--num_steps=2"))
    commands = [[*FLAGS, f"--run_dir={tmp_path / name}", "--num_steps=4"] for name in ("a", "b")]
    with started_workers(commands) as workers:
        found = [ended(worker, 120) for worker in workers]
    expected = "run_dir: expected storage that all workers share, received checkpoints of steps 0 and 2"
    assert found == [(2, f"sagan_tf.train: error: {expected}")] * 2
    assert not (tmp_path / "b").exists()


@pytest.mark.slow
def test_one_that_hangs_is_given_up(tmp_path: pathlib.Path) -> None:
    with started_workers(start(tmp_path, "--num_steps=1000000", "--checkpoint_every=4")) as workers:
        wait_for_lines(tmp_path, 2)
        workers[1].send_signal(signal.SIGSTOP)
        status, line = ended(workers[0], HUNG)
    assert status == 75 and "worker 1 does not answer any more" in line


@pytest.mark.slow
def test_after_a_signal_both_go_on(tmp_path: pathlib.Path) -> None:
    """Both get it, as from a scheduler, and save once; resumed, the run ends as if it had not been stopped."""
    with started_workers(start(tmp_path / "a", "--num_steps=1000000", "--checkpoint_every=1000000")) as workers:
        wait_for_lines(tmp_path / "a", 2)
        for worker in workers:
            worker.send_signal(signal.SIGUSR1)
        assert [status for status, _ in stopped(workers, tmp_path / "a")] == [138, 138]
    begun = newest_step(tmp_path / "a")
    flags = ["--checkpoint_every=1000000", f"--num_steps={begun + 2}"]
    assert all(f"resumed at step {begun}" in printed for printed in run_workers(start(tmp_path / "a", *flags)))
    run_workers(start(tmp_path / "b", *flags))
    assert values(tmp_path / "a", begun + 2) == values(tmp_path / "b", begun + 2)
