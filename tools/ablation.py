"""Studies of the SAGAN paper and of other options: settings that are trained with several seeds and compared.

    python tools/ablation.py --study=stabilization --data_dir=FASHION_MNIST
    python tools/ablation.py --study=attention --base=configs/ablations/imagenet_128.cfg --data_dir=DIR --dry_run
    python tools/ablation.py --study=FILE --seeds=5 --devices=gpu:0,gpu:1
    python tools/ablation.py --study=stabilization --collect

The same command continues after an interruption. The results are a page, tables, charts and images in --run_dir.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from sagan_tf.cli.command_line import run_command_line
from sagan_tf.errors import CommandEndedError, UserError
from sagan_tf.files import check_can_write_directory
from tools.ablations.cost import describe_cost
from tools.ablations.ended_runs import EndedRun, describe_unused, find_equal_run, find_origin, read_ended_runs
from tools.ablations.options import AblationOptions
from tools.ablations.plan import Plan, create_plan
from tools.ablations.run_copies import copy_equal_runs, discard_incomplete_copies
from tools.comparisons.cells import Cell
from tools.comparisons.devices import check_devices_exist
from tools.comparisons.execution import run_cells, run_on_devices
from tools.comparisons.progress import read_current_record
from tools.comparisons.records import FINISHED, UNHEALTHY
from tools.comparisons.summaries import format_count

_PROGRAM = "tools/ablation.py"


def main(options: AblationOptions) -> None:
    """Run a study, or print its commands, or collect its results.

    Raises:
        UserError: A setting is wrong, or a stored record belongs to another configuration.
        CommandEndedError: A cell has not finished, because it failed or was interrupted, or a process has died.
    """
    plan = create_plan(options)
    selected = _select_cells(options, plan)
    reusable = read_ended_runs(options.reuse)
    if options.dry_run:
        _print_commands(options, plan, reusable)
        return
    check_devices_exist(options.devices)
    for note in () if options.cell else plan.notes:
        print(note, flush=True)
    for cell in selected:
        cell.read_record()  # A record of other options is an error before the first run, and not between two runs.
    check_can_write_directory(plan.directory, "run_dir")
    if not options.collect:
        discard_incomplete_copies(selected)
        for line in describe_unused(plan.cells, reusable):
            print(f"reuse: {line}", flush=True)
        copy_equal_runs(selected, reusable)
        if len(options.devices) > 1:
            own = run_on_devices(selected, options.devices, _PROGRAM)
        else:
            own = run_cells(selected, "".join(options.devices))
        # Each of several processes that share the cells reports how its own cells have ended.
        selected = own if options.cell else selected
    if not options.cell:
        _write_results(plan)
    advice = "run the command without --collect" if options.collect else "run the same command"
    _check_ended(selected, advice, prints_counts=not options.cell)


def _select_cells(options: AblationOptions, plan: Plan) -> list[Cell]:
    outside = [index for index in options.cell if not 0 <= index < len(plan.cells)]
    if outside:
        raise UserError(f"cell: expected numbers from 0 to {len(plan.cells) - 1}, received {outside[0]}")
    return [plan.cells[index] for index in options.cell] or list(plan.cells)


def _print_commands(options: AblationOptions, plan: Plan, reusable: Sequence[EndedRun]) -> None:
    """Print the commands of all cells as a shell script, with notes and the number of each cell in comments."""
    trained = []
    for note in (*plan.notes, *(f"reuse: {line}" for line in describe_unused(plan.cells, reusable))):
        print(f"# {note}")
    for index, cell in enumerate(plan.cells):
        run = find_equal_run(cell, reusable)
        origin = run.origin if run else find_origin(cell)
        print(f"# cell {index}: {cell.name}{f': reused from {origin}' if origin else ''}")
        if origin is None:
            print("\n".join(cell.format_commands()))
            trained.append(cell)
    if options.seconds_per_step:
        print(f"# {describe_cost(trained, options.seconds_per_step)}")


def _write_results(plan: Plan) -> None:
    # It imports TensorFlow and matplotlib, for which errors in flags and --dry_run should not wait.
    from tools.ablations.report import RESULTS, write_results

    if all(cell.read_record() is None for cell in plan.cells):
        raise UserError(f"run_dir: expected the runs of {plan.study.name}, found none in {plan.directory}")
    write_results(plan)
    print(f"results in {plan.directory / RESULTS}", flush=True)


def _check_ended(cells: Sequence[Cell], advice: str, *, prints_counts: bool) -> None:
    """Raise CommandEndedError if some cells have not finished, and print how many have each status if wanted."""
    by_status: dict[str, list[str]] = {}
    for cell in cells:
        by_status.setdefault(read_current_record(cell)["status"], []).append(cell.name)
    if prints_counts:
        counts = ", ".join(f"{len(names)} {status}" for status, names in by_status.items())
        print(f"{format_count(len(cells), 'cell')}: {counts}", flush=True)
        for name in by_status.get(UNHEALTHY, ()):
            print(f"died: {name}", flush=True)
    remaining = [
        f"{name} ({status})"
        for status, names in by_status.items()
        for name in names
        if status not in (FINISHED, UNHEALTHY)
    ]
    if remaining:
        raise CommandEndedError(f"not finished: {'; '.join(remaining)}; {advice} to continue", 1)


def run(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    return run_command_line(_PROGRAM, __doc__, main, AblationOptions, argv=argv, prints_result=True)


if __name__ == "__main__":
    sys.exit(run())
