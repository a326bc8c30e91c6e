"""Tests of workers that answer, fail, hang and stop."""

from __future__ import annotations

import contextlib
import os
import pathlib
import signal
import time

import pytest

from tools.benchmarks import workers
from tools.benchmarks.workers import Worker, WorkerError, WorkerTimeoutError

MODULE = "tests.tools.example_worker"


def test_a_worker_answers_every_request() -> None:
    with Worker(MODULE, ["answer", "--one=1"], {"EXAMPLE": "2"}) as worker:
        about = worker.wait_until_ready()
        assert about["arguments"] == ["answer", "--one=1"]
        assert about["extra"] == "2" and about["process"] != os.getpid()
        assert [worker.run() for _ in range(3)] == [{"runs": 1}, {"runs": 2}, {"runs": 3}]


def test_workers_take_turns() -> None:
    with Worker(MODULE, ["answer"]) as first, Worker(MODULE, ["answer"]) as second:
        assert first.wait_until_ready()["process"] != second.wait_until_ready()["process"]
        turns = [worker.run()["runs"] for _ in range(2) for worker in (first, second, first)]
    assert turns == [1, 1, 2, 3, 2, 4]


def test_a_worker_stops_regularly_at_the_end_of_the_context(tmp_path: pathlib.Path) -> None:
    output = tmp_path / "output"
    with Worker(MODULE, ["write_at_the_end", str(output)]) as worker:
        process = worker.wait_until_ready()["process"]
        assert not output.exists()
    assert output.read_text() == "stopped regularly\n"
    assert not is_running(process)


def test_an_error_in_the_context_kills_the_worker(tmp_path: pathlib.Path) -> None:
    def fail(worker: Worker) -> None:
        worker.wait_until_ready()
        raise KeyError("error of the test")

    output = tmp_path / "output"
    with pytest.raises(KeyError, match="the test"), Worker(MODULE, ["write_at_the_end", str(output)]) as worker:
        fail(worker)
    assert not output.exists() and not is_running(worker._process.pid)


def is_running(process: int) -> bool:
    with contextlib.suppress(ProcessLookupError):
        os.kill(process, 0)
        return True
    return False


def test_a_worker_that_fails_at_its_start() -> None:
    with (
        pytest.raises(WorkerError, match=f"^{MODULE} .* status 1 .*: no such thing$"),
        Worker(MODULE, ["die_at_once"]) as worker,
    ):
        worker.wait_until_ready()


def run_once(worker: Worker, kill_first: bool = False, max_seconds: float | None = None) -> None:
    process = worker.wait_until_ready()["process"]
    if kill_first:
        kill(process)
    worker._max_seconds = max_seconds  # The limit excludes the start, which takes longer.
    worker.run()


def test_a_worker_that_exits_during_a_run() -> None:
    with (
        pytest.raises(WorkerError, match=f"{MODULE} .* status 4 .*: this is the last line"),
        Worker(MODULE, ["die_in_a_run"]) as worker,
    ):
        run_once(worker)


def test_a_worker_that_is_killed_between_runs() -> None:
    """The system kills a worker if memory is exhausted."""
    with (
        pytest.raises(WorkerError, match=f"{MODULE} .* status -9 .*: no output"),
        Worker(MODULE, ["answer"]) as worker,
    ):
        run_once(worker, kill_first=True)


def test_a_worker_that_is_killed_before_its_context_ends() -> None:
    with Worker(MODULE, ["answer"]) as worker:
        process = worker.wait_until_ready()["process"]
        kill(process)
    assert not pathlib.Path(f"/proc/{process}").exists()  # It is not a zombie.


def kill(process: int) -> None:
    os.kill(process, signal.SIGKILL)
    while (
        pathlib.Path(f"/proc/{process}/stat").read_text().split()[2] != "Z"
    ):  # "Z" is a zombie, for which no process has waited.
        time.sleep(0.01)


def test_a_missing_module() -> None:
    with (
        pytest.raises(WorkerError, match="tools.absent .* status 1 .*: .*No module named tools.absent"),
        Worker("tools.absent") as worker,
    ):
        worker.wait_until_ready()


def test_a_worker_that_hangs_is_killed() -> None:
    with (
        pytest.raises(WorkerTimeoutError, match=f"{MODULE} .* 0.5 s") as raised,
        Worker(MODULE, ["hang"], None, 60) as worker,
    ):
        run_once(worker, max_seconds=0.5)
    assert raised.value.log == ["before it hangs"] and not is_running(worker._process.pid)


def test_a_worker_that_hangs_at_its_end_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "_MAX_SECONDS_TO_STOP", 0.1)
    with Worker(MODULE, ["hang_at_the_end"], max_seconds=60) as worker:
        process = worker.wait_until_ready()["process"]
    assert not is_running(process)


def test_the_log_of_a_running_worker_is_read() -> None:
    with Worker(MODULE, ["log"]) as worker:
        worker.wait_until_ready()
        worker.run()
        assert worker.read_log_tail() == ["run 1"]
        worker.run()
        assert worker.read_log_tail() == ["run 1", "run 2"]
        for _ in range(60):
            worker.run()
        assert worker.read_log_tail()[0] == "run 23" and worker.read_log_tail()[-1] == "run 62"


@pytest.mark.parametrize(("level", "expected"), [(None, "2"), ("0", "0"), ("3", "3")])
def test_the_log_level_of_the_user_is_kept(monkeypatch: pytest.MonkeyPatch, level: str | None, expected: str) -> None:
    monkeypatch.delenv("TF_CPP_MIN_LOG_LEVEL", raising=False)
    if level is not None:
        monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", level)
    with Worker(MODULE, ["answer"]) as worker:
        assert worker.wait_until_ready()["log_level"] == expected
