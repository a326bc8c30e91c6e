"""Processes of a comparison, which save when they are stopped and end together with this process."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import IO, Any

from sagan_tf.environment.keras_settings import environment_without_keras_settings
from tools.repository import ROOT

STOPPED = 128 + signal.SIGTERM
"""Exit status of a training run that has saved after a SIGTERM."""
_POLL_SECONDS = 1.0
# Asks Linux for a SIGTERM when the parent ends, then becomes the command. Without it, a run that is limited by minutes
# would never end by itself. preexec_fn of subprocess could ask for it, too, but makes Python call fork(), not vfork():
# in a process that has used gRPC, the threads of gRPC then write to the log of the child.
_END_WITH_PARENT = """
import ctypes, os, signal, sys
PR_SET_PDEATHSIG = 1  # prctl(2)
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != int(sys.argv[1]):  # The parent ended before.
        sys.exit(128 + signal.SIGTERM)
os.execvp(sys.argv[2], sys.argv[2:])
"""


def run_process(command: list[str], log: IO[bytes], is_over: Callable[[], bool] | None = None) -> tuple[int, float]:
    """Run a command to its end, or stop it by SIGTERM.

    Args:
        command: A command of this project.
        log: The open file to which its output is appended.
        is_over: Called each second; once it returns True, the process receives a SIGTERM, upon which it saves and ends.
            None: the process runs to its end.

    Returns:
        The exit status and the CPU seconds of the process. The status is `STOPPED` only if `is_over` returned True; it
        is negative if a signal that this function did not send ended the process.
    """
    before = _read_cpu_seconds()
    stopped = False
    with start_process(command, log) as process:
        try:
            while True:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(_POLL_SECONDS)
                    break
                if is_over is not None and not stopped and is_over():
                    stopped = True
                    process.terminate()
        except BaseException:
            if not stopped:  # A second signal would end the run while it saves.
                process.terminate()  # The run saves; the comparison can continue it later.
            raise
    status = process.returncode
    if status == STOPPED and not stopped:
        status = -signal.SIGTERM
    return status, _read_cpu_seconds() - before


@contextlib.contextmanager
def exit_on_sigterm() -> Iterator[None]:
    """Let SIGTERM raise SystemExit in this context, so that the child can save."""
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


def start_process(command: list[str], output: IO[bytes]) -> subprocess.Popen[bytes]:
    """Start a process that receives a SIGTERM when this process ends, and no Ctrl-C.

    Args:
        command: A command of this project.
        output: The file of its standard output and standard error.
    """
    return subprocess.Popen(
        [sys.executable, "-S", "-c", _END_WITH_PARENT, str(os.getpid()), *command],
        cwd=ROOT,
        env=environment_without_keras_settings() | {"TF_CPP_MIN_LOG_LEVEL": "3"},
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        start_new_session=True,  # Ctrl-C reaches only this process, which then stops the child.
    )


def _read_cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
