"""Worker program for tests; its measurement answers, fails, ends or hangs."""

from __future__ import annotations

import atexit
import itertools
import os
import pathlib
import sys
import time
from typing import Any

from tools.benchmarks import worker
from tools.benchmarks.measure import Measurement


def prepare(*, task: str = "", output: str = "") -> Measurement:
    """Prepare a measurement of the number of runs, which writes a line to the log in each of them.

    Args:
        task: What goes wrong; empty: nothing.
        output: File to write when the process ends regularly.
    """
    if task == "end_at_once":
        raise SystemExit("the last line")
    if task == "hang_at_the_end":
        atexit.register(time.sleep, 600)
    if output:
        atexit.register(pathlib.Path(output).write_text, "ended regularly")
    runs = itertools.count(1)

    def measure() -> dict[str, Any]:
        run = next(runs)
        print(f"run {run}", file=sys.stderr, flush=True)
        if task == "end":
            os._exit(4)
        if task == "hang":
            time.sleep(600)
        print("a line of a library")
        return {"error": "no memory", "out_of_memory": True} if task == "fail" else {"runs": run}

    about = {"process": os.getpid(), "example": os.environ.get("EXAMPLE")}
    return Measurement(measure, about | {"log_level": os.environ["TF_CPP_MIN_LOG_LEVEL"]})


if __name__ == "__main__":
    worker.main(lambda name: prepare)
