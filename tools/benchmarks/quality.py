"""Quality and diversity of the images that settings reach in equal time, or in equal steps, on the same data."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sagan_tf.cli.flags import parse_config
from sagan_tf.config import Config
from sagan_tf.errors import UserError
from sagan_tf.files import check_can_write_directory, write_atomically
from sagan_tf.runs.run_lock import run_lock
from tools.benchmarks import quality_results
from tools.benchmarks.quality_cells import Cell, Limit
from tools.benchmarks.quality_processes import ending_on_sigterm
from tools.benchmarks.quality_records import FAILED, FINISHED, UNHEALTHY
from tools.benchmarks.quality_settings import SETTINGS_FILE, Setting, find_settings, parse_settings
from tools.benchmarks.workers import ROOT

SUMMARY = "trains settings for equal time or steps; agreement, precision, recall, coverage, rank, overfitting"
DEFAULT_METRICS = "fcd10k,label_agreement10k,class_agreement10k,precision_recall10k,density_coverage10k"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what is trained, for how long, and where."""
    names = f"a file with a name and flags a line, or names in {SETTINGS_FILE.relative_to(ROOT)} with commas"
    parser.add_argument("--settings", default="", help=f"{names}; empty: all in that file")
    parser.add_argument("--base", default="configs/quickstart.cfg", help="flagfile of all settings")
    parser.add_argument("--data_dir", default="", help="directory of the data, where the flagfile does not name it")
    parser.add_argument("--seeds", type=int, default=3, help="runs of each setting, with seeds from 0")
    limit = parser.add_mutually_exclusive_group(required=True)
    until = "train each run for so long, tracing left out; one whose learning rates fall ends earlier if they are 0"
    limit.add_argument("--minutes", type=float, default=0.0, help=until)
    limit.add_argument("--steps", type=int, default=0, help="train each run for so many steps")
    metrics = f"of the trained generators; empty: those of --base, and where it has none {DEFAULT_METRICS}"
    parser.add_argument("--metrics", default="", help=metrics)
    parser.add_argument("--evaluate_every", type=int, default=0, help="steps between points of the plot; 0: no plot")
    parser.add_argument("--run_dir", type=Path, default=Path("runs/quality"), help="directory of all runs")
    parser.add_argument("--dry_run", action="store_true", help="print the commands and do nothing")


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Run the cells that have not finished; return the records of all.

    Seeds take turns over all settings, so that a slow hour of the machine falls on all alike.
    """
    cells = _cells(options)
    if options.dry_run:
        commands = [command for cell in cells for command in (cell.train_command(), cell.evaluate_command())]
        return {"commands": [shlex.join(command) for command in commands]}
    check_can_write_directory(options.run_dir, "run_dir")
    options.run_dir.mkdir(parents=True, exist_ok=True)
    with run_lock(options.run_dir), ending_on_sigterm():
        records = []
        for cell in cells:
            records.append(cell.run())
            print(_describe(cell, records[-1]), flush=True)
            write_atomically(options.run_dir / "quality.csv", quality_results.to_csv(records))
            chart = quality_results.plot([(one.setting.name, one.run_dir) for one in cells])
            if chart:
                write_atomically(options.run_dir / "quality.svg", chart)
    return {"cells": records}


def rows(result: dict[str, Any]) -> list[list[str]]:
    """Make a table of what `run` returns: a row for each setting, means with deviations over its seeds."""
    if "commands" in result:
        return [[command] for command in result["commands"]]
    return quality_results.table(result["cells"])


def _cells(options: argparse.Namespace) -> list[Cell]:
    for name in ("seeds", "minutes" if options.steps == 0 else "steps"):
        if not getattr(options, name) > 0:
            raise UserError(f"{name}: expected a number above 0, received {getattr(options, name)}")
    if options.evaluate_every < 0:
        raise UserError(f"evaluate_every: expected 0 or more, received {options.evaluate_every}")
    base = options.base if (ROOT / options.base).is_file() else str(Path(options.base).expanduser().absolute())
    settings, flags = find_settings(options.settings), [f"--flagfile={base}", *_common_flags(options, ROOT / base)]
    configs = parse_settings(settings, [f"--flagfile={ROOT / base}", *flags[1:]])
    limit, directory = Limit(options.steps, options.minutes), options.run_dir.expanduser().absolute()
    _check_schedules(settings, configs, limit)
    both = list(zip(settings, configs, strict=True))
    return [
        Cell(setting, seed, limit, tuple(flags), directory, config)
        for seed in range(options.seeds)
        for setting, config in both
    ]


def _common_flags(options: argparse.Namespace, base: Path) -> list[str]:
    """Return the flags of all settings that come after those of the flagfile `base`."""
    flags = []
    if options.metrics or not parse_config([f"--flagfile={base}"]).evaluation.metrics:
        flags.append(f"--metrics={options.metrics or DEFAULT_METRICS}")
    if options.data_dir:
        is_remote = "://" in options.data_dir
        flags.append(f"--data_dir={options.data_dir if is_remote else Path(options.data_dir).expanduser().absolute()}")
    if options.evaluate_every:
        flags.append(f"--evaluate_every={options.evaluate_every}")
    return flags


def _check_schedules(settings: Sequence[Setting], configs: Sequence[Config], limit: Limit) -> None:
    """Raise UserError for a setting whose learning rates are 0 in the last of the steps that were asked for."""
    for setting, config in zip(settings, configs, strict=True):
        end = config.training.learning_rate_end
        if end is not None and limit.steps > end:
            raise UserError(
                f"steps: expected at most {end} for setting {setting.name}, whose learning rates are 0 from there on, "
                f"received {limit.steps}; give the setting other --learning_rate_decay_steps"
            )


def _describe(cell: Cell, record: dict[str, Any]) -> str:
    if record["status"] == FINISHED:
        values = ", ".join(f"{name} {value:.4g}" for name, value in record["values"].items())
        early = ", when its learning rates were 0" if cell.ended_early(record) else ""
        return f"{cell.name}: {record['step']} steps in {record['training_seconds']:.0f} s{early}: {values}"
    if record["status"] == UNHEALTHY:
        return f"{cell.name}: stopped: unhealthy: {record['message']} (remove {cell.beside('.json')} to try again)"
    if record["status"] == FAILED:
        return f"{cell.name}: failed: {record['message']}; the same command tries again"
    return f"{cell.name}: unfinished: {record['message']}; the same command goes on"
