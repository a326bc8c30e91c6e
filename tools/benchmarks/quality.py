"""Quality and diversity of the images of several settings, trained for equal time or steps on the same data."""

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
from sagan_tf.runs.run_lock import lock_run_directory
from tools.benchmarks import quality_results
from tools.benchmarks.quality_cells import Cell, Limit
from tools.benchmarks.quality_processes import exit_on_sigterm
from tools.benchmarks.quality_records import FAILED, FINISHED, UNHEALTHY
from tools.benchmarks.quality_settings import SETTINGS_FILE, Setting, find_settings, parse_settings
from tools.benchmarks.workers import ROOT

SUMMARY = "settings trained for equal time or steps: agreement, precision, recall, coverage, rank, overfitting"
DEFAULT_METRICS = "fcd10k,label_agreement10k,class_agreement10k,precision_recall10k,density_coverage10k"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the settings, how long they are trained, and where."""
    file = SETTINGS_FILE.relative_to(ROOT)
    names = f"a file whose lines are a name and flags, or a comma list of names in {file}; empty: all names in {file}"
    parser.add_argument("--settings", default="", help=names)
    parser.add_argument("--base", default="configs/quickstart.cfg", help="flagfile of all settings")
    parser.add_argument("--data_dir", default="", help="directory of the data, if the flagfile does not name it")
    parser.add_argument("--seeds", type=int, default=3, help="runs of each setting, with seeds from 0")
    limit = parser.add_mutually_exclusive_group(required=True)
    minutes = "minutes of training for each run, without tracing; a run ends earlier if its learning rates reach 0"
    limit.add_argument("--minutes", type=float, default=0.0, help=minutes)
    limit.add_argument("--steps", type=int, default=0, help="steps of training for each run")
    metrics = f"metrics of the trained generators; empty: those of --base, or {DEFAULT_METRICS} if it has none"
    parser.add_argument("--metrics", default="", help=metrics)
    parser.add_argument("--evaluate_every", type=int, default=0, help="steps between points of the plot; 0: no plot")
    parser.add_argument("--run_dir", type=Path, default=Path("runs/quality"), help="directory of all runs")
    parser.add_argument("--dry_run", action="store_true", help="only print the commands")


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Run the cells that have not finished.

    For each seed all settings are trained, so that a slow hour of the machine affects all of them alike.

    Args:
        options: The options of `add_arguments`.

    Returns:
        `cells`, the records of all cells; or `commands`, of a dry run.

    Raises:
        UserError: An option or a setting is wrong, or a record does not belong to its cell.
    """
    cells = _create_cells(options)
    if options.dry_run:
        commands = [
            command for cell in cells for command in (cell.create_train_command(), cell.create_evaluate_command())
        ]
        return {"commands": [shlex.join(command) for command in commands]}
    check_can_write_directory(options.run_dir, "run_dir")
    options.run_dir.mkdir(parents=True, exist_ok=True)
    with lock_run_directory(options.run_dir), exit_on_sigterm():
        records = []
        for cell in cells:
            records.append(cell.run())
            print(_describe_cell(cell, records[-1]), flush=True)
            write_atomically(options.run_dir / "quality.csv", quality_results.format_csv(records))
            chart = quality_results.draw_charts([(cell.setting.name, cell.run_dir) for cell in cells])
            if chart:
                write_atomically(options.run_dir / "quality.svg", chart)
    return {"cells": records}


def format_rows(result: dict[str, Any]) -> list[list[str]]:
    """Return the rows of a table of the result of `run`.

    There is a row for each setting, with means and standard deviations over its seeds; or one for each command.
    """
    if "commands" in result:
        return [[command] for command in result["commands"]]
    return quality_results.format_rows(result["cells"])


def _create_cells(options: argparse.Namespace) -> list[Cell]:
    for name in ("seeds", "minutes" if options.steps == 0 else "steps"):
        if not getattr(options, name) > 0:
            raise UserError(f"{name}: expected a number above 0, received {getattr(options, name)}")
    if options.evaluate_every < 0:
        raise UserError(f"evaluate_every: expected 0 or more, received {options.evaluate_every}")
    base = options.base if (ROOT / options.base).is_file() else str(Path(options.base).expanduser().absolute())
    settings, flags = (
        find_settings(options.settings),
        [f"--flagfile={base}", *_collect_common_flags(options, ROOT / base)],
    )
    configs = parse_settings(settings, [f"--flagfile={ROOT / base}", *flags[1:]])
    limit, directory = Limit(options.steps, options.minutes), options.run_dir.expanduser().absolute()
    _check_schedules(settings, configs, limit)
    pairs = list(zip(settings, configs, strict=True))
    return [
        Cell(setting, seed, limit, tuple(flags), directory, config)
        for seed in range(options.seeds)
        for setting, config in pairs
    ]


def _collect_common_flags(options: argparse.Namespace, base: Path) -> list[str]:
    """Return the flags of all settings that follow the flagfile `base`."""
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
    """Raise UserError if the learning rates of a setting reach 0 before `limit.steps`."""
    for setting, config in zip(settings, configs, strict=True):
        end = config.training.learning_rate_end
        if end is not None and limit.steps > end:
            raise UserError(
                f"steps: expected at most {end} for setting {setting.name}, whose learning rates are 0 after that, "
                f"received {limit.steps}; change --learning_rate_decay_steps of the setting"
            )


def _describe_cell(cell: Cell, record: dict[str, Any]) -> str:
    if record["status"] == FINISHED:
        values = ", ".join(f"{name} {value:.4g}" for name, value in record["values"].items())
        early = ", when its learning rates were 0" if cell.has_ended_early(record) else ""
        return f"{cell.name}: {record['step']} steps in {record['training_seconds']:.0f} s{early}: {values}"
    if record["status"] == UNHEALTHY:
        path = cell.path_with_suffix(".json")
        return f"{cell.name}: stopped: unhealthy: {record['message']} (remove {path} to try again)"
    if record["status"] == FAILED:
        return f"{cell.name}: failed: {record['message']}; run the same command to try again"
    return f"{cell.name}: unfinished: {record['message']}; run the same command to continue"
