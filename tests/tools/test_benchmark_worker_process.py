"""Tests of workers that answer, fail, hang and stop."""

from __future__ import annotations

import os
import pathlib
import signal
import time

import pytest

from tools.benchmarks import worker_process
from tools.benchmarks.worker_process import Worker, WorkerError, WorkerTimeoutError


@pytest.fixture(autouse=True)
def _example_program(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_process, "_PROGRAM", "tests.tools.example_worker")


def is_running(process: int) -> bool:
    """Return whether a process exists; a zombie, for which no process has waited, exists."""
    return pathlib.Path(f"/proc/{process}").exists()


def test_workers_take_turns_and_end_regularly(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TF_CPP_MIN_LOG_LEVEL", raising=False)
    output = tmp_path / "output"
    with Worker("example", {"output": str(output)}, {"EXAMPLE": "2"}) as first, Worker("example") as second:
        about = [worker.wait_until_ready() for worker in (first, second)]
        assert [facts["example"] for facts in about] == ["2", None] and about[0]["log_level"] == "2"
        processes = {facts["process"] for facts in about}
        assert len({*processes, os.getpid()}) == 3
        turns = [worker.run()["runs"] for _ in range(2) for worker in (first, second, first)]
        assert turns == [1, 1, 2, 3, 2, 4]
        assert second.read_log_tail() == ["run 1", "run 2"]
        for _ in range(60):
            second.run()
        assert (second.read_log_tail()[0], second.read_log_tail()[-1]) == ("run 23", "run 62")
        assert not output.exists()
    assert output.read_text() == "ended regularly" and not any(map(is_running, processes))


def test_an_error_in_the_context_kills_the_worker(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "0")

    def fail(worker: Worker) -> None:
        assert worker.wait_until_ready()["log_level"] == "0"  # The level of the user is kept.
        raise KeyError("error of the test")

    output = tmp_path / "output"
    with pytest.raises(KeyError, match="the test"), Worker("example", {"output": str(output)}) as worker:
        fail(worker)
    assert not output.exists() and not is_running(worker._process.pid)


def run_once(worker: Worker, *, kill: bool = False, max_seconds: float | None = None) -> None:
    process = worker.wait_until_ready()["process"]
    if kill:
        os.kill(process, signal.SIGKILL)
        while pathlib.Path(f"/proc/{process}/stat").read_text().split()[2] != "Z":
            time.sleep(0.1)
    worker._max_seconds = max_seconds  # The limit excludes the start, which takes longer.
    worker.run()


@pytest.mark.parametrize(
    ("task", "message", "log"),
    [
        ("end_at_once", "example .* status 1 .*: the last line", ["the last line"]),
        ("end", "example .* status 4 .*: run 1", ["run 1"]),
        ("fail", "^no memory$", ["run 1"]),
    ],
)
def test_a_worker_that_fails(task: str, message: str, log: list[str]) -> None:
    with pytest.raises(WorkerError, match=message) as raised, Worker("example", {"task": task}) as worker:
        run_once(worker)
    assert raised.value.log == log and raised.value.out_of_memory == (task == "fail")
    assert not is_running(worker._process.pid)


def test_a_worker_that_is_killed() -> None:
    """The system kills a worker if memory is exhausted."""
    with Worker("example") as worker, pytest.raises(WorkerError, match="example .* status -9 .*: no output"):
        run_once(worker, kill=True)
    assert not is_running(worker._process.pid)


def test_a_worker_that_hangs_is_killed() -> None:
    with (
        pytest.raises(WorkerTimeoutError, match="example .* 0.5 s") as raised,
        Worker("example", {"task": "hang"}, max_seconds=60) as worker,
    ):
        run_once(worker, max_seconds=0.5)
    assert raised.value.log == ["run 1"] and not is_running(worker._process.pid)


def test_a_worker_that_hangs_at_its_end_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_process, "_MAX_SECONDS_TO_STOP", 0.1)
    with Worker("example", {"task": "hang_at_the_end"}, max_seconds=60) as worker:
        worker.wait_until_ready()
    assert not is_running(worker._process.pid)
