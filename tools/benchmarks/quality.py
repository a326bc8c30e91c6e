"""Quality and diversity of the images of several settings, trained for equal time or steps on the same data."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sagan_tf.config.option import check_at_least_zero, check_positive, option
from sagan_tf.errors import CommandEndedError, UserError
from sagan_tf.files import check_can_write_directory, write_atomically
from sagan_tf.runs.run_lock import lock_run_directory
from tools.benchmarks import quality_results as results
from tools.comparisons.cell_runs import run_cell
from tools.comparisons.cells import Cell, Limit
from tools.comparisons.devices import check_device_names, check_devices_exist, devices_option, use_device
from tools.comparisons.execution import run_on_devices
from tools.comparisons.processes import exit_on_sigterm
from tools.comparisons.progress import read_current_record
from tools.comparisons.settings import (
    SETTINGS_FILE,
    check_schedules,
    collect_common_flags,
    find_base,
    find_settings,
    has_metrics,
    parse_settings,
)
from tools.repository import ROOT

_SETTINGS = SETTINGS_FILE.relative_to(ROOT)
DEFAULT_METRICS = "fcd10k,label_agreement10k,class_agreement10k,precision_recall10k,density_coverage10k"


@dataclasses.dataclass(frozen=True)
class QualityOptions:
    """Options of the settings, how long they are trained, and where."""

    settings: str = option(
        "",
        f"A file whose lines are a name and flags, or a comma list of names in {_SETTINGS}; empty: all names in "
        f"{_SETTINGS}.",
    )
    base: str = option("configs/quickstart.cfg", "Flagfile of all settings.")
    data_dir: str = option("", "Directory of the data, if the flagfile does not name it.")
    seeds: int = option(3, "Runs of each setting, with seeds from 0.")
    minutes: float | None = option(
        None,
        "Minutes of training for each run, without tracing; a run ends earlier if its learning rates reach 0. Give "
        "either --minutes or --steps.",
    )
    steps: int | None = option(None, "Steps of training for each run.")
    metrics: str = option(
        "", f"Metrics of the trained generators; empty: those of --base, or {DEFAULT_METRICS} if it has none."
    )
    evaluate_every: int = option(0, "Steps between points of the plot; 0: no plot.")
    run_dir: str = option("runs/quality", "Directory of all runs.")
    devices: tuple[str, ...] = devices_option()
    dry_run: bool = option(False, "Only print the commands.")

    def __post_init__(self) -> None:
        limits = [name for name in ("minutes", "steps") if getattr(self, name) is not None]
        if len(limits) != 1:
            received = " and ".join(limits) or "neither"
            raise UserError(f"minutes: expected either --minutes or --steps, received {received}")
        check_positive(self, "seeds", *limits)
        check_at_least_zero(self, "evaluate_every")
        check_device_names(self.devices)
        if self.devices and self.dry_run:
            raise UserError("devices: has no effect with --dry_run, which trains nothing")
        if self.devices and self.minutes is not None:
            raise UserError(
                "devices: expected --steps, received --minutes; runs at the same time share the memory of the machine, "
                "so that equal minutes are not equal work; give --steps, or no --devices"
            )


OPTIONS = (QualityOptions,)


def run(options: QualityOptions) -> dict[str, Any]:
    """Run the cells that have not finished.

    For each seed all settings are trained, so that a slow hour of the machine affects all of them alike.

    Args:
        options: The options of the benchmark.

    Returns:
        `cells`, the records of all cells; or `commands`, of a dry run.

    Raises:
        UserError: A setting is wrong, or a record does not belong to its cell.
        CommandEndedError: The process of a device has died.
    """
    cells = _create_cells(options)
    if options.dry_run:
        return {"commands": [command for cell in cells for command in cell.format_commands()]}
    check_devices_exist(options.devices)
    for cell in cells:
        cell.read_record()  # A record of other options is an error before the first run, and not between two runs.
    directory = _find_directory(options)
    check_can_write_directory(directory, "run_dir")
    directory.mkdir(parents=True, exist_ok=True)
    with lock_run_directory(directory), exit_on_sigterm():
        if len(options.devices) > 1:
            records = _run_cells_on_devices(directory, cells, options.devices)
        else:
            records = _run_cells(directory, cells, "".join(options.devices))
    return {"cells": records}


def format_rows(result: dict[str, Any]) -> list[list[str]]:
    """Return the rows of a table of the result of `run`.

    There is a row for each setting, with means and standard deviations over its seeds; or one for each command.
    """
    if "commands" in result:
        return [[command] for command in result["commands"]]
    return results.format_rows(result["cells"])


def _run_cells(directory: Path, cells: Sequence[Cell], device: str) -> list[dict[str, Any]]:
    """Run cells on one device, or on all if its name is empty, and return their records."""
    records = []
    with use_device(device):
        for cell in cells:
            records.append(run_cell(cell))
            print(cell.describe(records[-1]), flush=True)
            _write_results(directory, cells, records)
    return records


def _run_cells_on_devices(directory: Path, cells: Sequence[Cell], devices: Sequence[str]) -> list[dict[str, Any]]:
    """Run cells on several devices, and return their records."""
    died = None
    try:
        run_on_devices(cells, devices, "tools/benchmark.py quality")
    except CommandEndedError as ended:  # The results of the other devices are written first.
        died = ended
    records = [read_current_record(cell) for cell in cells]
    _write_results(directory, cells, records)
    if died:
        raise died
    return records


def _write_results(directory: Path, cells: Sequence[Cell], records: Sequence[dict[str, Any]]) -> None:
    write_atomically(directory / "quality.csv", results.format_csv(records))
    chart = results.draw_charts([(cell.setting.name, cell.run_dir) for cell in cells])
    if chart:
        write_atomically(directory / "quality.svg", chart)


def _find_directory(options: QualityOptions) -> Path:
    return Path(options.run_dir).expanduser().absolute()


def _create_cells(options: QualityOptions) -> list[Cell]:
    base = find_base(options.base)
    settings = find_settings(options.settings)
    metrics = options.metrics or ("" if has_metrics(ROOT / base) else DEFAULT_METRICS)
    common_flags = collect_common_flags(metrics, options.data_dir, options.evaluate_every)
    configs = parse_settings(settings, [f"--flagfile={ROOT / base}", *common_flags])
    flags = [f"--flagfile={base}", *common_flags]
    limit, directory = Limit(options.steps or 0, options.minutes or 0.0), _find_directory(options)
    check_schedules(settings, configs, limit.steps)
    pairs = list(zip(settings, configs, strict=True))
    return [
        Cell(setting, seed, limit, tuple(flags), directory, config)
        for seed in range(options.seeds)
        for setting, config in pairs
    ]
