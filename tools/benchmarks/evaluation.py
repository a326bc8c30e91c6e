"""Speed of an evaluation of full size: InceptionV3 on images, and the Frechet distance of 50,000 x 2,048 features."""

from __future__ import annotations

import argparse
from typing import Any

from tools.benchmarks.measure import Timing, compute_median_ratio
from tools.benchmarks.workers import Worker

SUMMARY = "images/s of an InceptionV3 of full size; time and memory of statistics and Frechet distance"

_WORKER = "tools.benchmarks.evaluation_worker"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the sizes of the measured evaluations."""
    parser.add_argument("--images", type=int, default=96, help="128 px images in a measured evaluation")
    parser.add_argument("--batch_size", type=int, default=32, help="images in a batch of the extractor")
    parser.add_argument("--features", type=int, default=50_000, help="feature vectors of 2,048 numbers")
    parser.add_argument("--rounds", type=int, default=5, help="measured evaluations")


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Measure evaluations of images and of features.

    Args:
        options: The options of `add_arguments`.

    Returns:
        The sizes and the measurements. `share_outside_extractor` is the share of an evaluation's time that the
        extractor alone does not take, the median over the rounds.
    """
    sizes = [f"--images={options.images}", f"--batch_size={options.batch_size}"]
    with Worker(_WORKER, ["inception", *sizes]) as worker:
        worker.wait_until_ready()
        rounds = [worker.run() for _ in range(options.rounds)]
    with Worker(_WORKER, ["statistics", f"--features={options.features}"]) as worker:
        worker.wait_until_ready()
        statistics = worker.run()
    evaluations, extractor = (
        [measured[name] for measured in rounds] for name in ("evaluation_seconds", "extractor_seconds")
    )
    return {
        "sizes": {"images": options.images, "batch_size": options.batch_size, "features": options.features},
        "evaluation_seconds": evaluations,
        "extractor_seconds": extractor,
        "images_per_second": Timing(tuple(measured["images_per_second"] for measured in rounds)).median,
        "share_outside_extractor": 1.0 - compute_median_ratio(extractor, evaluations),
        "statistics": statistics,
    }


def format_rows(result: dict[str, Any]) -> list[list[str]]:
    """Return the rows of a table of the result of `run`."""
    sizes, statistics = result["sizes"], result["statistics"]
    seconds = f"{statistics['statistics_seconds']:.1f} s and {statistics['distance_seconds']:.1f} s"
    return [
        [
            "InceptionV3, 299 px",
            f"{result['images_per_second']:.1f} images/s",
            str(Timing(tuple(result["evaluation_seconds"]))),
        ],
        ["outside the extractor", f"{result['share_outside_extractor']:.1%} of the time", ""],
        [
            f"{sizes['features']:,} x 2,048 features",
            f"statistics and distance {seconds}",
            f"{statistics['peak_memory_bytes'] / 1e9:.2f} GB at most",
        ],
    ]
