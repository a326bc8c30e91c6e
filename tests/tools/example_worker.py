"""A worker for tests: what it does is its first argument."""

from __future__ import annotations

import os
import sys
from typing import Any

from tools.benchmarks.workers import serve


def main() -> None:
    """Serves numbers; or dies at once, in its first run, or between two."""
    task = sys.argv[1]
    runs = 0

    def run() -> dict[str, Any]:
        nonlocal runs
        runs += 1
        if task == "die_in_a_run":
            print("this is the last line", file=sys.stderr)
            os._exit(4)
        print("a library's notice")
        return {"runs": runs}

    if task == "die_at_once":
        raise SystemExit("no such thing")
    print("warming up")
    serve({"arguments": sys.argv[1:], "extra": os.environ.get("EXAMPLE"), "process": os.getpid()}, run)
    if task == "tell":
        print("stopped in order", file=open(sys.argv[2], "w"))  # noqa: SIM115 - the process ends


if __name__ == "__main__":
    main()
