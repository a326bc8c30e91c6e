"""Programs under measurement in processes of their own, which run when they are told to.

What is compared takes turns, so that a slow minute of the machine falls on all alike; and as each has its own process,
its peak memory is its own.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from sagan_tf.keras_settings import default_environment

ROOT = Path(__file__).resolve().parents[2]
_GO, _STOP = "go", "stop"


class WorkerError(RuntimeError):
    """A worker ended before it had answered."""


class Worker:
    """Starts `python -m MODULE ARGUMENTS`, whose `main` ends in `serve`; a context manager.

    Args:
        module: dotted name of the program's module.
        arguments: its command line.
        environment: variables that it has beside this process's.
    """

    def __init__(self, module: str, arguments: Sequence[str] = (), environment: dict[str, str] | None = None) -> None:
        self._module = module
        self._errors = tempfile.TemporaryFile(mode="w+")  # noqa: SIM115 - closed with the process
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            cwd=ROOT,
            env=default_environment() | {"TF_CPP_MIN_LOG_LEVEL": "3"} | (environment or {}),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
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
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._errors):
            if stream is not None:
                with contextlib.suppress(BrokenPipeError):  # by what it did not live to read
                    stream.close()

    def ready(self) -> dict[str, Any]:
        """Wait until it has warmed up; return what it says of itself."""
        return self._hear()

    def run(self) -> dict[str, Any]:
        """Let it run once; return what it measured."""
        self._say(_GO)
        return self._hear()

    def _say(self, word: str) -> None:
        assert self._process.stdin is not None  # noqa: S101 - opened above
        with contextlib.suppress(BrokenPipeError):  # it has ended: whoever waits for an answer hears of it
            self._process.stdin.write(word + "\n")
            self._process.stdin.flush()

    def _hear(self) -> dict[str, Any]:
        assert self._process.stdout is not None  # noqa: S101 - opened above
        for line in self._process.stdout:
            if line.startswith("{"):  # whatever else libraries print is passed over
                return json.loads(line)
        status = self._process.wait()
        self._errors.seek(0)
        last = (self._errors.read().strip().splitlines() or ["it said nothing"])[-1]
        raise WorkerError(f"{self._module} ended with status {status} before it had answered: {last}")


def serve(about: dict[str, Any], run: Callable[[], dict[str, Any]]) -> None:
    """Say that the worker is ready, then call `run` at each request until one says to stop."""
    print(json.dumps(about), flush=True)
    for line in sys.stdin:
        if line.strip() != _GO:
            break
        print(json.dumps(run()), flush=True)
