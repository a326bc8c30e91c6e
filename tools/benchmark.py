"""Measures this project's speed and memory, beside others' in the same run where there is something to compare with.

    python tools/benchmark.py train_step --peer=tf_gan --json=FILE
    python tools/benchmark.py sampling --peer=tf_gan
    python tools/benchmark.py image_files
    python tools/benchmark.py attention
    python tools/benchmark.py pipeline
    python tools/benchmark.py startup
    python tools/benchmark.py evaluation
    python tools/benchmark.py quality --settings=FILE --seeds=3 --minutes=6

Times depend on the machine and on what else it does; ratios of what took turns in one run do so much less.
`BENCHMARK --help` lists a benchmark's options. --json writes the figures with the machine and the versions.
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
from tools.benchmarks.measure import machine
from tools.benchmarks.workers import WorkerError

BENCHMARKS = ("train_step", "sampling", "image_files", "attention", "pipeline", "startup", "evaluation", "quality")
"""Modules of `tools.benchmarks`, each with SUMMARY, add_arguments(parser), run(options) and rows(result)."""


def parse_arguments(arguments: list[str] | None = None) -> tuple[ModuleType, argparse.Namespace]:
    """Return the benchmark asked for and its options; leave with status 2 if the command line is wrong."""
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
    """Lines of a table whose columns are as wide as they need to be."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    lines = [[cell.ljust(width) for cell, width in zip(row, widths, strict=True)] for row in rows]
    return "\n".join("  ".join(line).rstrip() for line in lines)


def describe(about: dict[str, Any]) -> str:
    """One line about the machine."""
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
    """Run a benchmark, print its table and write its figures if a file is named."""
    if options.json is not None:
        check_can_write_file(options.json, "json")
    about = machine()
    print(describe(about), flush=True)
    result = module.run(options)
    print(format_table(module.rows(result)))
    if options.json is not None:
        figures = {"benchmark": options.benchmark, "machine": about, **result}
        content = json.dumps(figures, indent=1, default=str) + "\n"
        write_result(options.json, "json", lambda path: write_atomically(path, content))


if __name__ == "__main__":
    sys.exit(run_command("tools/benchmark.py", main, prints_result=True))
