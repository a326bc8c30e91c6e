"""Processes of the quality benchmark, one at a time: they save when they are stopped, and end with this process."""

from __future__ import annotations

import contextlib
import ctypes
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from sagan_tf.environment.keras_settings import default_environment
from tools.benchmarks.workers import ROOT

STOPPED = 128 + signal.SIGTERM
"""Exit status of a training run that a SIGTERM stopped, after it has saved."""
_SECONDS_BETWEEN_LOOKS = 1.0
_PARENT_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of prctl(2)


def run_process(command: list[str], log: Path, is_over: Callable[[], bool] | None = None) -> tuple[int, float]:
    """Run a command to its end, or stop it by SIGTERM.

    Args:
        command: A command of this project.
        log: The file to which its output is added.
        is_over: Asked each second; once it is true, the process is told to save and to end. None: it runs to its end.

    Returns:
        The exit status and the CPU seconds that the process took. The status is `STOPPED` only where `is_over` was
        true; it is negative where a signal ended the process that was not sent here.
    """
    before = _cpu_seconds()
    stopped = False
    with log.open("ab") as output, _start(command, output) as process:
        try:
            while True:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(_SECONDS_BETWEEN_LOOKS)
                    break
                if is_over is not None and not stopped and is_over():
                    stopped = True
                    process.terminate()
        except BaseException:
            process.terminate()  # it saves; the same benchmark goes on from there
            raise
    status = process.returncode
    if status == STOPPED and not stopped:
        status = -signal.SIGTERM
    return status, _cpu_seconds() - before


@contextlib.contextmanager
def ending_on_sigterm() -> Iterator[None]:
    """A context in which SIGTERM ends this process as Ctrl-C does: its child is told to save."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(number: int, frame: Any) -> None:
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _start(command: list[str], output: Any) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command,
        cwd=ROOT,
        env=default_environment() | {"TF_CPP_MIN_LOG_LEVEL": "3"},
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        start_new_session=True,  # Ctrl-C reaches this process only, which then ends the other one
        preexec_fn=_end_with_parent if sys.platform == "linux" else None,
    )


def _end_with_parent() -> None:
    """Ask Linux for a SIGTERM when the parent ends: a run that is limited by minutes would never end by itself."""
    ctypes.CDLL(None).prctl(_PARENT_DEATH_SIGNAL, signal.SIGTERM)


def _cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
