"""Workers: processes that run a measured program once for each request.

Programs that are compared take turns, so that a slow minute of the machine affects all of them alike. Each has a
process of its own, so that its peak memory can be measured.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from sagan_tf.environment.keras_settings import environment_without_keras_settings

ROOT = Path(__file__).resolve().parents[2]
_GO, _STOP = "go", "stop"
_LOG_LEVEL = {"TF_CPP_MIN_LOG_LEVEL": "2"}
"""TensorFlow logs only errors: a worker's log is shown only if it fails. The user's environment overrides this."""
_MAX_SECONDS_TO_STOP = 30.0
"""Time that a worker with a limit has to stop before it is killed."""
_MAX_LOG_LINES = 40
_MAX_LOG_BYTES = 64 * 2**10


class WorkerError(RuntimeError):
    """Raised for a worker that ended before it had answered.

    Attributes:
        log: The last lines of the worker's standard error.
    """

    def __init__(self, message: str, log: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.log = list(log)


class WorkerTimeoutError(WorkerError):
    """Raised for a worker that did not answer in time. It is killed at the end of its context."""


class Worker:
    """A process `python -m MODULE ARGUMENTS` that calls `serve`; a context manager, at whose end the process stops.

    Args:
        module: Dotted name of the program's module.
        arguments: Command line of the program.
        environment: Environment variables in addition to those of this process.
        max_seconds: Time limit of each answer; None: no limit.
    """

    def __init__(
        self,
        module: str,
        arguments: Sequence[str] = (),
        environment: dict[str, str] | None = None,
        max_seconds: float | None = None,
    ) -> None:
        self._module = module
        self._max_seconds = max_seconds
        self._unread = b""
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed at the end of the context
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            cwd=ROOT,
            env=_LOG_LEVEL | environment_without_keras_settings() | (environment or {}),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
        )

    def __enter__(self) -> Worker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._send(_STOP)
        else:
            self._process.kill()
        self._wait()
        for stream in (self._process.stdin, self._process.stdout, self._errors):
            if stream is not None:
                with contextlib.suppress(BrokenPipeError):  # The worker may have ended before it read everything.
                    stream.close()

    def wait_until_ready(self) -> dict[str, Any]:
        """Wait until the worker has warmed up.

        Returns:
            The facts about itself that the worker passed to `serve`.

        Raises:
            WorkerError: The worker ended before that, or did not answer in time.
        """
        return self._read_answer()

    def run(self) -> dict[str, Any]:
        """Let the worker run once.

        Returns:
            The worker's measurements.

        Raises:
            WorkerError: The worker ended before it answered, or did not answer in time.
        """
        self._send(_GO)
        return self._read_answer()

    def read_log_tail(self) -> list[str]:
        """Return the last lines of the worker's standard error; it may still run."""
        # Use pread: the worker shares the position of the file with this process and writes there.
        descriptor = self._errors.fileno()
        start = max(os.fstat(descriptor).st_size - _MAX_LOG_BYTES, 0)
        text = os.pread(descriptor, _MAX_LOG_BYTES, start).decode(errors="replace")
        return text.strip().splitlines()[-_MAX_LOG_LINES:]

    def _send(self, word: str) -> None:
        assert self._process.stdin is not None  # noqa: S101 - opened above
        with contextlib.suppress(BrokenPipeError):  # If the worker has ended, `_read_answer` raises the error.
            self._process.stdin.write(f"{word}\n".encode())
            self._process.stdin.flush()

    def _read_answer(self) -> dict[str, Any]:
        deadline = None if self._max_seconds is None else time.monotonic() + self._max_seconds
        while line := self._read_line(deadline):
            if line.startswith(b"{"):  # Libraries may print other lines, which are ignored.
                return json.loads(line)
        status, log = self._process.wait(), self.read_log_tail()
        last = log[-1] if log else "no output"
        raise WorkerError(f"{self._module} ended with status {status} before it had answered: {last}", log)

    def _read_line(self, deadline: float | None) -> bytes:
        """Return the next line of the worker's standard output; empty at the end."""
        assert self._process.stdout is not None  # noqa: S101 - opened above
        output = self._process.stdout.fileno()
        while b"\n" not in self._unread:
            seconds = None if deadline is None else max(deadline - time.monotonic(), 0.0)
            if not select.select([output], [], [], seconds)[0]:
                raise WorkerTimeoutError(
                    f"{self._module} did not answer within {self._max_seconds:g} s", self.read_log_tail()
                )
            received = os.read(output, 2**16)
            if not received:
                return b""
            self._unread += received
        line, _, self._unread = self._unread.partition(b"\n")
        return line + b"\n"

    def _wait(self) -> None:
        """Wait until the worker has ended; kill one with a limit that hangs."""
        seconds = None if self._max_seconds is None else _MAX_SECONDS_TO_STOP
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()
            with contextlib.suppress(subprocess.TimeoutExpired):  # A device driver may keep a killed process.
                self._process.wait(seconds)


def serve(about: dict[str, Any], run: Callable[[], dict[str, Any]]) -> None:
    """Report that the worker is ready, then call a function for each request.

    Args:
        about: Facts about the worker, for `Worker.wait_until_ready`.
        run: The function that measures. It is called until a request is to stop.
    """
    print(json.dumps(about), flush=True)
    for line in sys.stdin:
        if line.strip() != _GO:
            break
        print(json.dumps(run()), flush=True)
