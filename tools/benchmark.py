"""Benchmarks of this project's speed and memory, compared with other implementations in the same run where possible.

    python tools/benchmark.py train_step --peer=tf_gan --json=FILE
    python tools/benchmark.py sampling --peer=tf_gan
    python tools/benchmark.py image_files
    python tools/benchmark.py attention
    python tools/benchmark.py pipeline
    python tools/benchmark.py startup
    python tools/benchmark.py evaluation
    python tools/benchmark.py quality --settings=FILE --seeds=3 --minutes=6

Times depend on the machine and on its other load. Ratios of measurements that took turns in one run depend on them much
less. `NAME --help` lists the options of a benchmark. --json writes the figures, the machine and the versions.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from sagan_tf.cli.command_line import report_unknown_action, run_command_line
from sagan_tf.cli.console import run_command
from sagan_tf.config.option import option
from sagan_tf.files import check_can_write_file, write_result_atomically
from tools.benchmarks import attention, evaluation, image_files, pipeline, quality, sampling, startup, train_step
from tools.machine import collect_machine_facts, describe_machine

BENCHMARKS: dict[str, ModuleType] = {
    "train_step": train_step,
    "sampling": sampling,
    "image_files": image_files,
    "attention": attention,
    "pipeline": pipeline,
    "startup": startup,
    "evaluation": evaluation,
    "quality": quality,
}
"""Modules with OPTIONS, dataclasses of options; run(*options), which returns figures; and format_rows(figures)."""

_PROGRAM = "tools/benchmark.py"


@dataclasses.dataclass(frozen=True)
class OutputOptions:
    """Options of the result."""

    json: str = option("", "File to write the figures to; empty: none.")


def format_table(rows: list[list[str]]) -> str:
    """Format rows of equal length as lines of text with aligned columns."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    lines = [[cell.ljust(width) for cell, width in zip(row, widths, strict=True)] for row in rows]
    return "\n".join("  ".join(line).rstrip() for line in lines)


def main(name: str, *options: Any) -> None:
    """Run a benchmark, print its table, and write its figures.

    Args:
        name: The name of the benchmark.
        *options: One object for each of its OPTIONS, and `OutputOptions`.

    Raises:
        UserError: An option is wrong, a worker failed, or a file cannot be written.
    """
    *parameters, output = options
    path = Path(output.json).expanduser() if output.json else None
    if path is not None:
        check_can_write_file(path, "json")
    about = collect_machine_facts()
    print(describe_machine(about), flush=True)
    result = BENCHMARKS[name].run(*parameters)
    print(format_table(BENCHMARKS[name].format_rows(result)))
    if path is not None:
        content = json.dumps({"benchmark": name, "machine": about, **result}, indent=1, default=str) + "\n"
        write_result_atomically(path, "json", content)


def run(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    name, *arguments = (sys.argv[1:] if argv is None else list(argv)) or [""]
    if name not in BENCHMARKS:
        names = {known: (module.__doc__ or "").splitlines()[0] for known, module in BENCHMARKS.items()}
        describe = functools.partial(report_unknown_action, _PROGRAM, __doc__, names, name)
        return run_command(_PROGRAM, describe, prints_result=True, restart=argv is None)
    if name == "startup":
        arguments = startup.add_default_flags(arguments)
    return run_command_line(
        f"{_PROGRAM} {name}",
        BENCHMARKS[name].__doc__,
        functools.partial(main, name),
        *BENCHMARKS[name].OPTIONS,
        OutputOptions,
        argv=arguments,
        prints_result=True,
        restart=argv is None,
    )


if __name__ == "__main__":
    sys.exit(run())
