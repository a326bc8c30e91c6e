"""Worker for tests, whose first argument selects its behavior."""

from __future__ import annotations

import os
import sys
import time
from typing import Any

from tools.benchmarks.workers import serve


def main() -> None:
    """Serve the number of runs; or fail, hang or write a log, as the task says."""
    task = sys.argv[1]
    runs = 0

    def run() -> dict[str, Any]:
        nonlocal runs
        runs += 1
        if task == "die_in_a_run":
            print("this is the last line", file=sys.stderr)
            os._exit(4)
        if task == "hang":
            print("before it hangs", file=sys.stderr, flush=True)
            time.sleep(600)
        if task == "log":
            print(f"run {runs}", file=sys.stderr, flush=True)
        print("a line of a library")
        return {"runs": runs}

    if task == "die_at_once":
        raise SystemExit("no such thing")
    print("warming up")
    about = {"arguments": sys.argv[1:], "extra": os.environ.get("EXAMPLE"), "process": os.getpid()}
    serve(about | {"log_level": os.environ.get("TF_CPP_MIN_LOG_LEVEL")}, run)
    if task == "hang_at_the_end":
        time.sleep(600)
    if task == "write_at_the_end":
        print("stopped regularly", file=open(sys.argv[2], "w"))  # noqa: SIM115 - the process ends


if __name__ == "__main__":
    main()
