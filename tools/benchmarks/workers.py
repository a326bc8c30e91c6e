"""Programs under measurement in processes of their own, which run when they are told to.

What is compared takes turns, so that a slow minute of the machine falls on all alike; and as each has its own process,
its peak memory is its own.
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

from sagan_tf.environment.keras_settings import default_environment

ROOT = Path(__file__).resolve().parents[2]
_GO, _STOP = "go", "stop"
_LOG_LEVEL = {"TF_CPP_MIN_LOG_LEVEL": "2"}
"""Errors: a worker's standard error is shown only where it fails. The user's own setting is kept."""
_SECONDS_TO_STOP = 30.0
"""For a worker with a limit, from the request to stop until it is killed."""
_MAX_LOG_LINES = 40
_MAX_LOG_BYTES = 64 * 2**10


class WorkerError(RuntimeError):
    """Raised for a worker that ended before it had answered.

    Attributes:
        log: The last lines of its standard error.
    """

    def __init__(self, message: str, log: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.log = list(log)


class WorkerTimeout(WorkerError):
    """Raised for a worker that did not answer in time. It is killed at the end of its context."""


class Worker:
    """Starts `python -m MODULE ARGUMENTS`, whose `main` ends in `serve`; a context manager.

    Args:
        module: dotted name of the program's module.
        arguments: its command line.
        environment: variables that it has beside this process's.
        max_seconds: limit for each answer; None: no limit.
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
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the process
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            cwd=ROOT,
            env=_LOG_LEVEL | default_environment() | (environment or {}),
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
            self._say(_STOP)
        else:
            self._process.kill()
        self._wait()
        for stream in (self._process.stdin, self._process.stdout, self._errors):
            if stream is not None:
                with contextlib.suppress(BrokenPipeError):  # by what it did not live to read
                    stream.close()

    def ready(self) -> dict[str, Any]:
        """Wait until it has warmed up; return what it says of itself.

        Raises:
            WorkerError: It ended before, or it did not answer in time.
        """
        return self._hear()

    def run(self) -> dict[str, Any]:
        """Let it run once; return what it measured.

        Raises:
            WorkerError: It ended before, or it did not answer in time.
        """
        self._say(_GO)
        return self._hear()

    def last_lines(self) -> list[str]:
        """Return the last lines of its standard error, whether it has ended or not."""
        # Read at a position of its own: the worker writes at the position that it shares with this process.
        descriptor = self._errors.fileno()
        start = max(os.fstat(descriptor).st_size - _MAX_LOG_BYTES, 0)
        text = os.pread(descriptor, _MAX_LOG_BYTES, start).decode(errors="replace")
        return text.strip().splitlines()[-_MAX_LOG_LINES:]

    def _say(self, word: str) -> None:
        assert self._process.stdin is not None  # noqa: S101 - opened above
        with contextlib.suppress(BrokenPipeError):  # it has ended: whoever waits for an answer hears of it
            self._process.stdin.write(f"{word}\n".encode())
            self._process.stdin.flush()

    def _hear(self) -> dict[str, Any]:
        deadline = None if self._max_seconds is None else time.monotonic() + self._max_seconds
        while line := self._read_line(deadline):
            if line.startswith(b"{"):  # whatever else libraries print is passed over
                return json.loads(line)
        status, log = self._process.wait(), self.last_lines()
        last = log[-1] if log else "it said nothing"
        raise WorkerError(f"{self._module} ended with status {status} before it had answered: {last}", log)

    def _read_line(self, deadline: float | None) -> bytes:
        """Return the next line of its standard output; empty at the end."""
        assert self._process.stdout is not None  # noqa: S101 - opened above
        output = self._process.stdout.fileno()
        while b"\n" not in self._unread:
            seconds = None if deadline is None else max(deadline - time.monotonic(), 0.0)
            if not select.select([output], [], [], seconds)[0]:
                raise WorkerTimeout(f"{self._module} did not answer within {self._max_seconds:g} s", self.last_lines())
            received = os.read(output, 2**16)
            if not received:
                return b""
            self._unread += received
        line, _, self._unread = self._unread.partition(b"\n")
        return line + b"\n"

    def _wait(self) -> None:
        """Wait until it has ended. One with a limit may hang at its end, too: it is killed."""
        seconds = None if self._max_seconds is None else _SECONDS_TO_STOP
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()
            with contextlib.suppress(subprocess.TimeoutExpired):  # the driver holds it
                self._process.wait(seconds)


def serve(about: dict[str, Any], run: Callable[[], dict[str, Any]]) -> None:
    """Say that the worker is ready, then call `run` at each request until one says to stop."""
    print(json.dumps(about), flush=True)
    for line in sys.stdin:
        if line.strip() != _GO:
            break
        print(json.dumps(run()), flush=True)
