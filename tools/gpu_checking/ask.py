"""Calls of the workers of the check. A crash or a time-out of a worker is part of the answer."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from sagan_tf.config import Config
from tools.benchmarks.workers import Worker, WorkerError, WorkerTimeoutError
from tools.gpu_checking.options import GpuCheckOptions

Answer = dict[str, Any]


def ask_worker(
    module: str,
    config: Config,
    options: GpuCheckOptions,
    *arguments: str,
    environment: dict[str, str] | None = None,
    limit: str = "max_seconds",
    find_reason: Callable[[Mapping[str, Any]], str] = lambda about: "",
) -> Answer:
    """Start a worker and return its facts and its measurements.

    Args:
        module: The worker, a module of `tools.gpu_checking`.
        config: The configuration that it measures.
        options: The options of the check.
        *arguments: Further arguments of the worker's command line.
        environment: Environment variables in addition to those of this process.
        limit: Name of the option with the worker's time limit.
        find_reason: Called with the worker's facts; returns the reason to skip the measurement, or an empty string.

    Returns:
        The facts and the measurements. `skipped` has the reason if the measurement was skipped. After a failure there
        are `error` and `log`, the last lines of the worker's standard error.
    """
    seconds = getattr(options, limit)
    with tempfile.TemporaryDirectory(prefix="sagan_tf_gpu_check_") as directory:
        flagfile = Path(directory) / "flags.cfg"
        flagfile.write_text(config.to_flagfile(), encoding="utf-8")
        command = [f"--flagfile={flagfile}", *arguments]
        try:
            with Worker(f"tools.gpu_checking.{module}", command, environment, seconds) as worker:
                return _exchange_messages(worker, find_reason)
        except WorkerTimeoutError as error:
            return {"error": f"no answer within {seconds:g} s (--{limit})", "log": error.log}
        except WorkerError as error:
            return {"error": str(error), "log": error.log}


def _exchange_messages(worker: Worker, find_reason: Callable[[Mapping[str, Any]], str]) -> Answer:
    answer = worker.wait_until_ready()
    if "error" not in answer:
        reason = find_reason(answer)
        answer |= {"skipped": reason} if reason else worker.run()
    return answer | {"log": worker.read_log_tail()} if "error" in answer else answer
