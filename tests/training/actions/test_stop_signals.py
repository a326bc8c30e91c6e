"""Tests of signals that stop a run."""

from __future__ import annotations

import contextlib
import json
import pathlib
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from sagan_tf.errors import StoppedBySignalError
from sagan_tf.training.actions.schedule import StepReport
from sagan_tf.training.actions.stop_signals import StopOnSignal, StopSignals
from tests.training.tiny import PLAIN_FLAGS

ROOT = pathlib.Path(__file__).parents[3]
SMALL = ["--dataset=fashion_mnist_10k", "--resolution=32", "--image_channels=1", *PLAIN_FLAGS]
SMALL += ["--base_channels=2", "--global_batch_size=8", "--strategy=one_device", "--num_steps=1000000"]


class FakeCheckpoints:
    def __init__(self) -> None:
        self.saved = 0

    def save(self) -> str:
        self.saved += 1
        return "checkpoints/step-4"


def report(last: bool = False) -> StepReport:
    return StepReport(4, 2, {}, 1.0, last)


def wait_for(condition: object, seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:  # type: ignore[operator]
        time.sleep(0.05)
    assert condition()  # type: ignore[operator]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
def test_a_signal_stops_the_run_after_its_steps(number: int) -> None:
    before = signal.getsignal(number)
    checkpoints = FakeCheckpoints()
    with StopSignals() as signals:
        stop = StopOnSignal(signals, checkpoints)
        stop(report())
        signal.raise_signal(number)
        wait_for(lambda: signals.received == number)
        stop(report(last=True))
        assert checkpoints.saved == 0
        with pytest.raises(StoppedBySignalError, match="step 4 .*checkpoints/step-4") as caught:
            stop(report())
    assert checkpoints.saved == 1 and caught.value.status == 128 + number
    assert signal.getsignal(number) == before


def test_signals_are_not_handled_in_a_thread() -> None:
    def use() -> None:
        with StopSignals() as signals:
            received.append(signals.received)

    received: list[int | None] = []
    before = signal.getsignal(signal.SIGTERM)
    thread = threading.Thread(target=use)
    thread.start()
    thread.join()
    assert received == [None] and signal.getsignal(signal.SIGTERM) == before


@contextlib.contextmanager
def training(run_dir: pathlib.Path, *flags: str) -> Iterator[subprocess.Popen[str]]:
    """Train in a new process; its output goes to run_dir/../log."""
    command = [sys.executable, "-m", "sagan_tf.train", *SMALL, f"--run_dir={run_dir}", *flags]
    with (run_dir.parent / "log").open("w") as log:
        process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT, text=True)
        try:
            yield process
        finally:
            process.kill()
            process.wait()


def test_a_stopped_run_has_saved_its_last_step(tmp_path: pathlib.Path) -> None:
    run_dir, log = tmp_path / "run", tmp_path / "log"
    metrics = run_dir / "metrics.jsonl"
    with training(run_dir, "--steps_per_loop=1", "--log_every=1") as process:
        wait_for(lambda: metrics.exists() and len(metrics.read_text().splitlines()) >= 2, 120)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 143, log.read_text()
    lines = log.read_text().splitlines()
    assert any(line.startswith("SIGTERM: ") for line in lines)
    step = json.loads(metrics.read_text().splitlines()[-1])["step"]
    assert f"step {step} " in lines[-1] and f"{run_dir}/checkpoints/step-{step}; " in lines[-1]
    assert (run_dir / "checkpoints" / f"step-{step}.index").exists() and "Traceback" not in log.read_text()


def test_a_second_signal_stops_the_run_at_once(tmp_path: pathlib.Path) -> None:
    """It also stops a long call of the inner loop, in which Python does nothing."""
    run_dir, log = tmp_path / "run", tmp_path / "log"
    with training(
        run_dir,
        "--steps_per_loop=1000000",
        "--log_every=1000000",
        "--sample_every=1000000",
        "--checkpoint_every=1000000",
    ) as process:
        # The first two calls do one step each; the third call takes `call_length.TARGET_SECONDS`.
        wait_for(lambda: "first step after" in log.read_text(), 240)
        time.sleep(5.0)
        process.send_signal(signal.SIGINT)
        wait_for(lambda: "SIGINT: " in log.read_text())
        time.sleep(1.0)
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=10) == 130, log.read_text()
    assert "Traceback" not in log.read_text() and not list(run_dir.glob("checkpoints/*.index"))
