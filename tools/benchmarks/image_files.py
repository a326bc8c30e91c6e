"""Pictures as files: how much of the generator's own speed is left when each is saved as a PNG."""

from __future__ import annotations

import argparse
from typing import Any

from tools.benchmarks.measure import Timing, median_ratio
from tools.benchmarks.workers import Worker

SUMMARY = "pictures written as PNG files, against the generator alone"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which generator, and how many pictures."""
    parser.add_argument("--run_dir", default="", help="a run; else an untrained generator, whose noise is slow to pack")
    parser.add_argument("--images", type=int, default=10_000, help="pictures in a measured turn")
    parser.add_argument("--batch_size", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5, help="measured turns of each")


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Measures; `share_of_generator` is the median over the rounds of the files' speed by the generator's."""
    sizes = {name: getattr(options, name) for name in ("run_dir", "images", "batch_size")}
    arguments = [f"--{name}={value}" for name, value in sizes.items()]
    with Worker("tools.benchmarks.image_files_worker", arguments) as worker:
        worker.ready()
        rounds = [worker.run() for _ in range(options.rounds)]
    generator, files = ([one[name] for one in rounds] for name in ("generator_seconds", "files_seconds"))
    return {
        "sizes": sizes,
        "generator_seconds": generator,
        "files_seconds": files,
        "share_of_generator": median_ratio(generator, files),
    }


def rows(result: dict[str, Any]) -> list[list[str]]:
    """Return a table of what `run` returns."""
    images = result["sizes"]["images"]
    table = [[f"{images:,} pictures", "median (least to most)", "images/s"]]
    for name in ("generator", "files"):
        timing = Timing(tuple(result[f"{name}_seconds"]))
        table.append([name, str(timing), f"{images / timing.median:.0f}"])
    return [*table, ["files against generator", f"{result['share_of_generator']:.0%} of its speed", ""]]
