"""Time from the start of a command to its first training step, and to the end of `--help`.

The flags of a run, such as --flagfile, describe the run that is started. Without them it is that of
configs/quickstart.cfg.
"""

from __future__ import annotations

import dataclasses
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from sagan_tf.config import Config, get_option_fields
from sagan_tf.config.flagfile import split_flag
from sagan_tf.config.option import check_positive, option
from sagan_tf.errors import UserError
from tools.benchmarks.measure import Timing
from tools.repository import ROOT


@dataclasses.dataclass(frozen=True)
class StartupOptions:
    """Options of the measurement."""

    rounds: int = option(3, "Number of measurements of each command; the commands alternate.")

    def __post_init__(self) -> None:
        check_positive(self, "rounds")


OPTIONS = (StartupOptions, Config)


def add_default_flags(arguments: list[str]) -> list[str]:
    """Add configs/quickstart.cfg to command-line arguments without a flag of a run."""
    names = {split_flag(argument)[0] for argument in arguments}
    run_names = {"flagfile", *get_option_fields()}
    if names & run_names or {name.removeprefix("no") for name in names} & run_names:
        return arguments
    return [*arguments, f"--flagfile={ROOT / 'configs' / 'quickstart.cfg'}"]


def run(options: StartupOptions, config: Config) -> dict[str, Any]:
    """Time the commands one after the other, each time in a new directory.

    Args:
        options: The options of the benchmark.
        config: The configuration to start.

    Returns:
        The median and all seconds for `first_step` and `help`.

    Raises:
        UserError: A command failed.
    """
    first_steps, helps = [], []
    for _ in range(options.rounds):
        with tempfile.TemporaryDirectory() as directory:
            flagfile = Path(directory) / "flags.cfg"
            flagfile.write_text(config.to_flagfile(), encoding="utf-8")
            # The run is stopped after one step, before it saves a checkpoint or samples.
            flags = [f"--flagfile={flagfile}", f"--run_dir={directory}/run", "--log_every=1", "--steps_per_loop=1"]
            first_steps.append(_measure_seconds_to_line(["-m", "sagan_tf.train", *flags], "step 1/"))
        helps.append(_measure_seconds_to_line(["-m", "sagan_tf.train", "--help"], None))
    return {"first_step": _summarize(first_steps), "help": _summarize(helps)}


def format_rows(result: dict[str, Any]) -> list[list[str]]:
    """Return the rows of a table of the result of `run`."""
    names = {"first_step": "first training step", "help": "--help"}
    lines = [[label, str(Timing(tuple(result[name]["all_seconds"])))] for name, label in names.items()]
    return [["from the command to", "median (least to most)"], *lines]


def _measure_seconds_to_line(arguments: list[str], line_start: str | None) -> float:
    """Measure the seconds until a program writes a certain line, and stop it then.

    Args:
        arguments: Arguments of the Python interpreter.
        line_start: Beginning of the line; None: measure until the program ends.

    Raises:
        UserError: The program ended before it wrote the line, or failed.
    """
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
    raise UserError(f"the measured command ended with status {process.returncode}: python {' '.join(arguments)}")


def _summarize(seconds: list[float]) -> dict[str, Any]:
    return {"seconds": Timing(tuple(seconds)).median, "all_seconds": seconds}
