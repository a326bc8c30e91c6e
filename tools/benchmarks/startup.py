"""Time from a command to its first training step, and to its help."""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from typing import Any

from sagan_tf.errors import UserError
from tools.benchmarks.measure import Timing
from tools.benchmarks.workers import ROOT

SUMMARY = "time from the command to the end of the first training step, and to the end of --help"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which configuration to start."""
    parser.add_argument("--flagfile", default="configs/quickstart.cfg", help="configuration to start")
    parser.add_argument("--rounds", type=int, default=3, help="how many times")


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Start the commands, one after the other, in a new folder each time."""
    if not (ROOT / options.flagfile).is_file():
        raise UserError(f"flagfile: expected a file, received {options.flagfile}")
    first_steps, helps = [], []
    for _ in range(options.rounds):
        with tempfile.TemporaryDirectory() as folder:
            # A run of one step, checkpoint and picture left out: they come after the step.
            flags = [f"--flagfile={options.flagfile}", f"--run_dir={folder}/run", "--log_every=1", "--steps_per_loop=1"]
            first_steps.append(_seconds_to_line(["-m", "sagan_tf.train", *flags], "step 1/"))
        helps.append(_seconds_to_line(["-m", "sagan_tf.train", "--help"], None))
    return {"first_step": _measured(first_steps), "help": _measured(helps)}


def rows(result: dict[str, Any]) -> list[list[str]]:
    """Return a readable table of the result."""
    names = {"first_step": "first training step", "help": "--help"}
    lines = [[label, str(Timing(tuple(result[name]["all_seconds"])))] for name, label in names.items()]
    return [["from the command to", "median (least to most)"], *lines]


def _seconds_to_line(arguments: list[str], line_start: str | None) -> float:
    """Time until the program writes a line that begins so, upon which it is stopped; None: until it ends."""
    start = time.perf_counter()
    with subprocess.Popen([sys.executable, *arguments], cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None  # noqa: S101 - opened above
        for line in process.stdout:
            if line_start is not None and line.startswith(line_start):
                seconds = time.perf_counter() - start
                process.kill()
                return seconds
    if line_start is None and process.returncode == 0:
        return time.perf_counter() - start
    raise UserError(f"expected {' '.join(arguments)} to run, but it ended with status {process.returncode}")


def _measured(seconds: list[float]) -> dict[str, Any]:
    return {"seconds": Timing(tuple(seconds)).median, "all_seconds": seconds}
