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
less. `BENCHMARK --help` lists the options of a benchmark. --json writes the figures, the machine and the versions.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from sagan_tf.cli.console import run_action, run_command
from sagan_tf.files import check_can_write_file, write_atomically, write_result
from tools.benchmarks.measure import collect_machine_facts
from tools.benchmarks.workers import WorkerError

BENCHMARKS = ("train_step", "sampling", "image_files", "attention", "pipeline", "startup", "evaluation", "quality")
"""Modules of `tools.benchmarks`, each with SUMMARY, add_arguments(parser), run(options) and format_rows(result)."""


def parse_arguments(arguments: list[str] | None = None) -> tuple[ModuleType, argparse.Namespace]:
    """Parse the command line.

    Args:
        arguments: The command line; None: that of this process.

    Returns:
        The module of the requested benchmark, and its options.

    Raises:
        SystemExit: The command line is wrong (exit status 2).
    """
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    benchmarks = parser.add_subparsers(dest="benchmark", required=True, metavar="BENCHMARK")
    modules = {name: importlib.import_module(f"tools.benchmarks.{name}") for name in BENCHMARKS}
    for name, module in modules.items():
        options = benchmarks.add_parser(
            name,
            help=module.SUMMARY,
            description=module.SUMMARY,
            formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        )
        module.add_arguments(options)
        options.add_argument("--json", type=Path, help="file to write the figures to")
    parsed = parser.parse_args(arguments)
    return modules[parsed.benchmark], parsed


def format_table(rows: list[list[str]]) -> str:
    """Format rows of equal length as lines of text with aligned columns."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    lines = [[cell.ljust(width) for cell, width in zip(row, widths, strict=True)] for row in rows]
    return "\n".join("  ".join(line).rstrip() for line in lines)


def describe_machine(about: dict[str, Any]) -> str:
    """Return one line about the machine that `collect_machine_facts` describes."""
    memory = about["memory_bytes"] / 2**30
    return (
        f"{about['processor']}, {about['cores']} cores, {memory:.0f} GiB; Python {about['python']}, "
        f"TensorFlow {about['tensorflow']}, Keras {about['keras']}"
    )


def main(arguments: list[str] | None = None) -> int:
    """Run the command; return its exit status."""
    module, options = parse_arguments(arguments)
    return run_action("tools/benchmark.py", lambda: run_benchmark(module, options), WorkerError)


def run_benchmark(module: ModuleType, options: argparse.Namespace) -> None:
    """Run a benchmark, print its table, and write its figures to `options.json`."""
    if options.json is not None:
        check_can_write_file(options.json, "json")
    about = collect_machine_facts()
    print(describe_machine(about), flush=True)
    result = module.run(options)
    print(format_table(module.format_rows(result)))
    if options.json is not None:
        figures = {"benchmark": options.benchmark, "machine": about, **result}
        content = json.dumps(figures, indent=1, default=str) + "\n"
        write_result(options.json, "json", lambda path: write_atomically(path, content))


if __name__ == "__main__":
    sys.exit(run_command("tools/benchmark.py", main, prints_result=True))
