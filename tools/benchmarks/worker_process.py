"""Processes that measure, each with one of the measurements in `tools/benchmarks/worker.py`.

Measurements that are compared take turns, so that a slow minute of the machine affects all of them alike. Each has a
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
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any

from sagan_tf.environment.keras_settings import environment_without_keras_settings
from sagan_tf.errors import UserError
from tools.repository import ROOT

RUN = "run"
"""Line that requests one measurement from a worker."""
_PROGRAM = "tools.benchmarks.worker"
_LOG_LEVEL = {"TF_CPP_MIN_LOG_LEVEL": "2"}
"""TensorFlow logs only errors: the log is read only if a worker fails. The user's environment overrides this."""
_MAX_SECONDS_TO_STOP = 30.0
"""Time that a worker with a limit has to stop before it is killed."""
_MAX_LOG_LINES = 40
_MAX_LOG_BYTES = 64 * 2**10


class WorkerError(UserError):
    """Raised for a worker that answered with an error, or ended before it had answered.

    Attributes:
        log: The last lines of the worker's standard error.
        out_of_memory: Whether the worker reported that the memory does not suffice.
    """

    def __init__(self, message: str, log: Sequence[str] = (), *, out_of_memory: bool = False) -> None:
        super().__init__(message)
        self.log = list(log)
        self.out_of_memory = out_of_memory


class WorkerTimeoutError(WorkerError):
    """Raised for a worker that did not answer in time. It is killed at the end of its context."""


class Worker:
    """A process with one measurement; a context manager, at whose end the process stops.

    Args:
        measurement: A name in `worker.MEASUREMENTS`.
        parameters: Arguments of the function that prepares the measurement, as values for JSON.
        environment: Environment variables in addition to those of this process.
        max_seconds: Time limit of each answer; None: no limit.
    """

    def __init__(
        self,
        measurement: str,
        parameters: Mapping[str, Any] | None = None,
        environment: Mapping[str, str] | None = None,
        max_seconds: float | None = None,
    ) -> None:
        self._measurement = measurement
        self._max_seconds = max_seconds
        self._unread = b""
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed at the end of the context
        request = json.dumps({"measurement": measurement, "parameters": dict(parameters or {})})
        self._process = subprocess.Popen(
            [sys.executable, "-m", _PROGRAM, request],
            cwd=ROOT,
            env=_LOG_LEVEL | environment_without_keras_settings() | dict(environment or {}),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
        )

    def __enter__(self) -> Worker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None and self._process.stdout is not None  # noqa: S101 - opened above
        if kind is not None:
            self._process.kill()
        with contextlib.suppress(BrokenPipeError):  # The worker may have ended before it read everything.
            self._process.stdin.close()  # A worker ends at the end of its input.
        self._wait()
        self._process.stdout.close()
        self._errors.close()

    def wait_until_ready(self) -> dict[str, Any]:
        """Wait until the worker has prepared its measurement.

        Returns:
            `Measurement.about`.

        Raises:
            WorkerError: The measurement could not be prepared, or the worker ended or did not answer in time.
        """
        return self._read_answer()

    def run(self) -> dict[str, Any]:
        """Let the worker measure once.

        Returns:
            The result of `Measurement.run`.

        Raises:
            WorkerError: The measurement failed, or the worker ended or did not answer in time.
        """
        assert self._process.stdin is not None  # noqa: S101 - opened above
        with contextlib.suppress(BrokenPipeError):  # If the worker has ended, `_read_answer` raises the error.
            self._process.stdin.write(f"{RUN}\n".encode())
            self._process.stdin.flush()
        return self._read_answer()

    def read_log_tail(self) -> list[str]:
        """Return the last lines of the worker's standard error; it may still run."""
        # Use pread: the worker shares the position of the file with this process and writes there.
        descriptor = self._errors.fileno()
        start = max(os.fstat(descriptor).st_size - _MAX_LOG_BYTES, 0)
        text = os.pread(descriptor, _MAX_LOG_BYTES, start).decode(errors="replace")
        return text.strip().splitlines()[-_MAX_LOG_LINES:]

    def _read_answer(self) -> dict[str, Any]:
        deadline = None if self._max_seconds is None else time.monotonic() + self._max_seconds
        while line := self._read_line(deadline):
            if line.startswith(b"{"):  # Libraries may print other lines, which are ignored.
                answer = json.loads(line)
                if "error" in answer:
                    raise WorkerError(answer["error"], self.read_log_tail(), out_of_memory=answer["out_of_memory"])
                return answer
        status, log = self._process.wait(), self.read_log_tail()
        last = log[-1] if log else "no output"
        raise WorkerError(f"worker {self._measurement} ended with status {status} before it had answered: {last}", log)

    def _read_line(self, deadline: float | None) -> bytes:
        """Return the next line of the worker's standard output; empty at the end."""
        assert self._process.stdout is not None  # noqa: S101 - opened above
        output = self._process.stdout.fileno()
        while b"\n" not in self._unread:
            seconds = None if deadline is None else max(deadline - time.monotonic(), 0.0)
            if not select.select([output], [], [], seconds)[0]:
                raise WorkerTimeoutError(
                    f"worker {self._measurement} did not answer within {self._max_seconds:g} s", self.read_log_tail()
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
