"""Tests of signals that stop a run."""

import json
import os
import signal
import threading
import time

import pytest

from sagan_tf.errors import StoppedBySignalError
from sagan_tf.training.actions import stop_signals
from sagan_tf.training.actions.schedule import StepReport
from sagan_tf.training.actions.stop_signals import StopOnSignal, StopSignals
from tests import waiting
from tests.faults.processes import read_output, start_training, wait_until
from tests.training.tiny import PLAIN_FLAGS


class FakeCheckpoints:
    def __init__(self) -> None:
        self.saved = 0

    def save(self) -> str:
        self.saved += 1
        return "checkpoints/step-4"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
def test_a_signal_stops_the_run_after_its_steps(number):
    before = signal.getsignal(number)
    checkpoints = FakeCheckpoints()
    with StopSignals() as signals:
        stop = StopOnSignal(signals, checkpoints)  # type: ignore[arg-type]
        stop(StepReport(4, 2, {}, 1.0, last=False))
        signal.raise_signal(number)
        waiting.wait_until(lambda: signals.received == number)
        stop(StepReport(4, 2, {}, 1.0, last=True))
        assert checkpoints.saved == 0
        with pytest.raises(StoppedBySignalError, match="step 4 .*checkpoints/step-4") as caught:
            stop(StepReport(4, 2, {}, 1.0, last=False))
    assert checkpoints.saved == 1 and caught.value.status == 128 + number
    assert signal.getsignal(number) == before


@pytest.mark.parametrize("first", [signal.SIGTERM, signal.SIGUSR1])
def test_a_second_signal_at_once_is_the_same_request(first, monkeypatch):
    """A scheduler signals all processes of a job, and the parent of a run then sends SIGTERM."""
    exits: list[int] = []
    monkeypatch.setattr(os, "_exit", exits.append)
    with StopSignals() as signals:
        monkeypatch.setattr(stop_signals, "_SAME_REQUEST_SECONDS", 3600.0)
        signal.raise_signal(first)
        waiting.wait_until(lambda: signals.received == first)
        signal.raise_signal(signal.SIGTERM)
        time.sleep(0.2)  # for the thread that would end the run
        assert exits == []
        monkeypatch.setattr(stop_signals, "_SAME_REQUEST_SECONDS", 0.0)
        signal.raise_signal(signal.SIGTERM)
        waiting.wait_until(lambda: exits == [143])


def test_signals_are_not_handled_in_a_thread():
    def use() -> None:
        with StopSignals() as signals:
            received.append(signals.received)

    received: list[int | None] = []
    before = signal.getsignal(signal.SIGTERM)
    thread = threading.Thread(target=use)
    thread.start()
    thread.join()
    assert received == [None] and signal.getsignal(signal.SIGTERM) == before


def test_a_stopped_run_has_saved_its_last_step(tmp_path):
    run_dir = tmp_path / "run"
    metrics = run_dir / "metrics.jsonl"
    with start_training(run_dir, "--steps_per_loop=1", "--log_every=1", "--num_steps=10000", *PLAIN_FLAGS) as process:
        wait_until(lambda: metrics.exists() and len(metrics.read_text().splitlines()) >= 2, process)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=120) == 143
    step = json.loads(metrics.read_text().splitlines()[-1])["step"]
    error = read_output(run_dir, "err")
    assert "SIGTERM: " in read_output(run_dir) and "Traceback" not in error
    assert f"step {step} " in error and f"{run_dir}/checkpoints/step-{step}; " in error
    assert (run_dir / "checkpoints" / f"step-{step}.index").exists()


@pytest.mark.slow
def test_a_second_signal_stops_the_run_at_once(tmp_path):
    """It also stops a long call of the inner loop, in which Python does nothing."""
    run_dir, options = (
        tmp_path / "run",
        ("num_steps", "steps_per_loop", "log_every", "sample_every", "checkpoint_every"),
    )
    with start_training(run_dir, *(f"--{name}=1000000" for name in options)) as process:
        # The first two calls do one step each; the third call takes `call_length.TARGET_SECONDS`.
        wait_until(lambda: "first step after" in read_output(run_dir), process)
        time.sleep(1.0)
        process.send_signal(signal.SIGINT)
        wait_until(lambda: "SIGINT: " in read_output(run_dir), process)
        time.sleep(1.5)
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=10) == 130
    assert "Traceback" not in read_output(run_dir, "err") and not list(run_dir.glob("checkpoints/*.index"))
