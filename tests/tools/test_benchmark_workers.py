"""Workers that answer, that die, and that are told to stop."""

from __future__ import annotations

import contextlib
import os
import pathlib
import signal
import time

import pytest

from tools.benchmarks import workers
from tools.benchmarks.workers import Worker, WorkerError, WorkerTimeout

MODULE = "tests.tools.example_worker"


def test_a_worker_answers_as_often_as_it_is_asked() -> None:
    with Worker(MODULE, ["answer", "--one=1"], {"EXAMPLE": "2"}) as worker:
        about = worker.ready()
        assert about["arguments"] == ["answer", "--one=1"]
        assert about["extra"] == "2" and about["process"] != os.getpid()
        assert [worker.run() for _ in range(3)] == [{"runs": 1}, {"runs": 2}, {"runs": 3}]


def test_workers_take_turns() -> None:
    with Worker(MODULE, ["answer"]) as first, Worker(MODULE, ["answer"]) as second:
        assert first.ready()["process"] != second.ready()["process"]
        turns = [worker.run()["runs"] for _ in range(2) for worker in (first, second, first)]
    assert turns == [1, 1, 2, 3, 2, 4]


def test_a_worker_is_told_to_stop_and_stops_in_order(tmp_path: pathlib.Path) -> None:
    told = tmp_path / "told"
    with Worker(MODULE, ["tell", str(told)]) as worker:
        process = worker.ready()["process"]
        assert not told.exists()
    assert told.read_text() == "stopped in order\n"
    assert not is_running(process)


def test_an_error_in_the_block_stops_it_too(tmp_path: pathlib.Path) -> None:
    told = tmp_path / "told"
    with pytest.raises(KeyError, match="mine"), Worker(MODULE, ["tell", str(told)]) as worker:
        process = worker.ready()["process"]
        raise KeyError("mine")
    assert not told.exists() and not is_running(process)


def is_running(process: int) -> bool:
    with contextlib.suppress(ProcessLookupError):
        os.kill(process, 0)
        return True
    return False


def test_one_that_dies_at_once() -> None:
    with (
        pytest.raises(WorkerError, match=f"^{MODULE} ended with status 1 before it had answered: no such thing$"),
        Worker(MODULE, ["die_at_once"]) as worker,
    ):
        worker.ready()


def test_one_that_dies_in_a_run() -> None:
    with (
        pytest.raises(WorkerError, match=f"{MODULE} ended with status 4 .*: this is the last line"),
        Worker(MODULE, ["die_in_a_run"]) as worker,
    ):
        worker.ready()
        worker.run()


def test_one_that_is_killed_between_two_runs() -> None:
    """As a system does that is out of memory."""
    with (
        pytest.raises(WorkerError, match=f"{MODULE} ended with status -9 .*: it said nothing"),
        Worker(MODULE, ["answer"]) as worker,
    ):
        kill(worker.ready()["process"])
        worker.run()


def test_one_that_is_killed_before_it_is_told_to_stop() -> None:
    with Worker(MODULE, ["answer"]) as worker:
        process = worker.ready()["process"]
        kill(process)
    assert not pathlib.Path(f"/proc/{process}").exists()  # waited for


def kill(process: int) -> None:
    os.kill(process, signal.SIGKILL)
    while pathlib.Path(f"/proc/{process}/stat").read_text().split()[2] != "Z":  # not yet waited for
        time.sleep(0.01)


def test_no_such_module() -> None:
    with (
        pytest.raises(WorkerError, match="tools.absent ended with status 1 .*: .*No module named tools.absent"),
        Worker("tools.absent") as worker,
    ):
        worker.ready()


def test_one_that_hangs_is_given_up_and_killed() -> None:
    with (
        pytest.raises(WorkerTimeout, match=f"{MODULE} .* 0.5 s") as raised,
        Worker(MODULE, ["hang"], None, 60) as worker,
    ):
        process = worker.ready()["process"]
        worker._max_seconds = 0.5  # after its start, which takes longer
        worker.run()
    assert raised.value.log == ["before it hangs"] and not is_running(process)


def test_one_that_hangs_at_its_end_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "_SECONDS_TO_STOP", 0.1)
    with Worker(MODULE, ["hang_at_the_end"], max_seconds=60) as worker:
        process = worker.ready()["process"]
    assert not is_running(process)


def test_what_it_has_logged_is_read_while_it_runs() -> None:
    with Worker(MODULE, ["log"]) as worker:
        worker.ready()
        worker.run()
        assert worker.last_lines() == ["run 1"]
        worker.run()
        assert worker.last_lines() == ["run 1", "run 2"]
        for _ in range(60):
            worker.run()
        assert worker.last_lines()[0] == "run 23" and worker.last_lines()[-1] == "run 62"


@pytest.mark.parametrize(("users", "expected"), [(None, "2"), ("0", "0"), ("3", "3")])
def test_its_log_is_as_loud_as_the_user_wants(
    monkeypatch: pytest.MonkeyPatch, users: str | None, expected: str
) -> None:
    monkeypatch.delenv("TF_CPP_MIN_LOG_LEVEL", raising=False)
    if users is not None:
        monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", users)
    with Worker(MODULE, ["answer"]) as worker:
        assert worker.ready()["log_level"] == expected
