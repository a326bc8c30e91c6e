"""Calls of the workers of the check. A crash or a time-out of a worker is part of the answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from tools.benchmarks.worker_process import Worker, WorkerError, WorkerTimeoutError
from tools.gpu_checking.options import GpuCheckOptions

Answer = dict[str, Any]


def ask_worker(
    measurement: str,
    parameters: Mapping[str, Any],
    options: GpuCheckOptions,
    *,
    environment: dict[str, str] | None = None,
    limit: str = "max_seconds",
    find_reason: Callable[[Mapping[str, Any]], str] = lambda about: "",
) -> Answer:
    """Start a worker and return its facts and its measurements.

    Args:
        measurement: A name in `tools.benchmarks.worker.MEASUREMENTS`.
        parameters: The parameters of the measurement.
        options: The options of the check.
        environment: Environment variables in addition to those of this process.
        limit: Name of the option with the worker's time limit.
        find_reason: Called with the worker's facts; returns the reason to skip the measurement, or an empty string.

    Returns:
        The facts and the measurements. `skipped` has the reason if the measurement was skipped. After a failure there
        are `error`, `out_of_memory` and `log`, the last lines of the worker's standard error.
    """
    seconds, answer = getattr(options, limit), {}
    try:
        with Worker(measurement, parameters, environment, seconds) as worker:
            answer = worker.wait_until_ready()
            reason = find_reason(answer)
            return answer | ({"skipped": reason} if reason else worker.run())
    except WorkerError as error:
        is_late = isinstance(error, WorkerTimeoutError)
        message = f"no answer within {seconds:g} s (--{limit})" if is_late else str(error)
        return answer | {"error": message, "out_of_memory": error.out_of_memory, "log": error.log}
