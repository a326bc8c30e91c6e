"""Speed of writing generated images as PNG files, compared with the generator alone."""

from __future__ import annotations

import argparse
from typing import Any

from tools.benchmarks.measure import Timing, compute_median_ratio
from tools.benchmarks.workers import Worker

SUMMARY = "images written as PNG files, against the generator alone"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the generator and the number of images."""
    run_dir = "directory of a run; empty: an untrained generator, whose noise is slow to compress"
    parser.add_argument("--run_dir", default="", help=run_dir)
    parser.add_argument("--images", type=int, default=10_000, help="images in a measurement")
    parser.add_argument("--batch_size", type=int, default=64, help="images in a batch")
    parser.add_argument("--rounds", type=int, default=5, help="measurements of each, in turns")


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Measure the generator alone and with files.

    Args:
        options: The options of `add_arguments`.

    Returns:
        The sizes and the seconds of every round. `share_of_generator` is the speed of writing files as a share of the
        generator's speed, the median over the rounds.
    """
    sizes = {name: getattr(options, name) for name in ("run_dir", "images", "batch_size")}
    arguments = [f"--{name}={value}" for name, value in sizes.items()]
    with Worker("tools.benchmarks.image_files_worker", arguments) as worker:
        worker.wait_until_ready()
        rounds = [worker.run() for _ in range(options.rounds)]
    generator, files = ([measured[name] for measured in rounds] for name in ("generator_seconds", "files_seconds"))
    return {
        "sizes": sizes,
        "generator_seconds": generator,
        "files_seconds": files,
        "share_of_generator": compute_median_ratio(generator, files),
    }


def format_rows(result: dict[str, Any]) -> list[list[str]]:
    """Return the rows of a table of the result of `run`."""
    images = result["sizes"]["images"]
    table = [[f"{images:,} images", "median (least to most)", "images/s"]]
    for name in ("generator", "files"):
        timing = Timing(tuple(result[f"{name}_seconds"]))
        table.append([name, str(timing), f"{images / timing.median:.0f}"])
    return [*table, ["files against generator", f"{result['share_of_generator']:.0%} of its speed", ""]]
