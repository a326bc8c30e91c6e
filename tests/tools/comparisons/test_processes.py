import os
import pathlib
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable

import pytest

from tests.waiting import wait_until
from tools.comparisons.processes import STOPPED, exit_on_sigterm, run_process

SAVES = "import signal, sys, time; signal.signal(signal.SIGTERM, lambda *_: (print('saved'), sys.exit(143))); "
WAITS = "print('began', flush=True); time.sleep(60)"


def python(program: str) -> list[str]:
    return [sys.executable, "-c", program]


def run_with_log(command: list[str], log: pathlib.Path, is_over: Callable[[], bool] | None = None):
    with log.open("ab") as file:
        return run_process(command, file, is_over)


def test_a_process_is_stopped_when_its_time_is_over(tmp_path: pathlib.Path):
    log = tmp_path / "log"
    status, seconds = run_with_log(python(SAVES + WAITS), log, lambda: "began" in log.read_text())
    assert status == STOPPED and seconds > 0
    assert log.read_text().split() == ["began", "saved"]


@pytest.mark.parametrize(("ending", "expected"), [("sys.exit(2)", 2), ("0", 0), ("sys.exit(143)", -signal.SIGTERM)])
def test_exit_status_of_a_process(ending: str, expected: int, tmp_path: pathlib.Path):
    (tmp_path / "log").write_text("before\n")
    assert run_with_log(python(f"import sys; print('now'); {ending}"), tmp_path / "log")[0] == expected
    assert (tmp_path / "log").read_text().split() == ["before", "now"]


def test_exit_status_of_a_killed_process(tmp_path: pathlib.Path):
    kills_itself = python("import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
    assert run_with_log(kills_itself, tmp_path / "log", lambda: False)[0] == -signal.SIGKILL


def test_sigterm_ends_this_process_after_the_child_has_saved(tmp_path: pathlib.Path):
    log = tmp_path / "log"

    def end_this_process() -> bool:
        if "began" in log.read_text():
            signal.raise_signal(signal.SIGTERM)
        return False

    with pytest.raises(SystemExit) as ended, exit_on_sigterm():
        run_with_log(python(SAVES + WAITS), log, end_this_process)
    assert ended.value.code == STOPPED
    assert log.read_text().split() == ["began", "saved"]


def test_a_process_that_saves_gets_no_second_signal(tmp_path: pathlib.Path):
    """It would end the process before it has saved."""
    log = tmp_path / "log"
    saves = (
        "import signal, sys, time\n"
        "def save(*_):\n"
        "    signal.signal(signal.SIGTERM, signal.SIG_DFL)\n"
        "    print('saves', flush=True)\n"
        "    time.sleep(1.0)\n"
        "    print('saved', flush=True)\n"
        "    sys.exit(143)\n"
        "signal.signal(signal.SIGTERM, save)\n"
    )

    def interrupt() -> None:
        wait_until(lambda: "saves" in log.read_text(), seconds=20)
        os.kill(os.getpid(), signal.SIGTERM)

    log.touch()
    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(SystemExit), exit_on_sigterm():
        run_with_log(python(saves + WAITS), log, lambda: "began" in log.read_text())
    thread.join()
    assert log.read_text().split() == ["began", "saves", "saved"]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child that its parent has ended")
def test_a_process_ends_when_its_parent_is_killed(tmp_path: pathlib.Path):
    log = tmp_path / "log"
    program = (
        "import os, pathlib, signal; from tools.comparisons.processes import run_process\n"
        f"log = pathlib.Path({str(log)!r})\n"
        "kill = lambda: 'began' in log.read_text() and os.kill(os.getpid(), signal.SIGKILL)\n"
        f"run_process({python(SAVES + WAITS)!r}, log.open('ab'), kill)"
    )
    ended = subprocess.run(python(program), cwd=pathlib.Path(__file__).parents[3], check=False)
    assert ended.returncode == -signal.SIGKILL
    for _ in range(300):
        if "saved" in log.read_text():
            break
        time.sleep(0.1)
    assert log.read_text().split() == ["began", "saved"]
