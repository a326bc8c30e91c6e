"""Ask a worker of the check; whatever happens to it is an answer."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from sagan_tf.cli.flags import config_to_flagfile
from sagan_tf.config import Config
from tools.benchmarks.workers import Worker, WorkerError, WorkerTimeout
from tools.gpu_checking.options import GpuCheckOptions

Answer = dict[str, Any]


def ask(
    module: str,
    config: Config,
    options: GpuCheckOptions,
    *arguments: str,
    environment: dict[str, str] | None = None,
    limit: str = "max_seconds",
    refuse: Callable[[Mapping[str, Any]], str] = lambda about: "",
) -> Answer:
    """Return what a worker says of itself and what it measures.

    Args:
        module: The worker, a module of `tools.gpu_checking`.
        config: The run that it measures.
        options: What is checked; it has the limit.
        *arguments: Further arguments of its command line.
        environment: Variables that it has beside this process's.
        limit: The option that limits its time.
        refuse: Called with what it says of itself; returns why it shall not measure, or an empty string.

    Returns:
        Its answers. `skipped` has the reason if it was refused; after a failure there are `error` and `log`, the last
        lines of its standard error.
    """
    seconds = getattr(options, limit)
    with tempfile.TemporaryDirectory(prefix="sagan_tf_gpu_check_") as directory:
        flagfile = Path(directory) / "flags.cfg"
        flagfile.write_text(config_to_flagfile(config), encoding="utf-8")
        command = [f"--flagfile={flagfile}", *arguments]
        try:
            with Worker(f"tools.gpu_checking.{module}", command, environment, seconds) as worker:
                return _converse(worker, refuse)
        except WorkerTimeout as error:
            return {"error": f"no answer within {seconds:g} s (--{limit})", "log": error.log}
        except WorkerError as error:
            return {"error": str(error), "log": error.log}


def _converse(worker: Worker, refuse: Callable[[Mapping[str, Any]], str]) -> Answer:
    answer = worker.ready()
    if "error" not in answer:
        reason = refuse(answer)
        answer |= {"skipped": reason} if reason else worker.run()
    return answer | {"log": worker.last_lines()} if "error" in answer else answer
