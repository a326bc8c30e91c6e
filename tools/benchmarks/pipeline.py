"""Speed of the input pipeline on JPEG files and prepared records, compared with plain TFDS pipelines."""

from __future__ import annotations

import argparse
import contextlib
import statistics
import tempfile
from pathlib import Path
from typing import Any

from sagan_tf.cli.load_tensorflow import load_tensorflow
from sagan_tf.errors import UserError
from tools.benchmarks.measure import compute_median_ratio
from tools.benchmarks.workers import Worker

SUMMARY = "images a second of the input pipeline, beside a plain TFDS pipeline"

PIPELINES = {
    "plain": "plain TFDS: decode, crop, resize (bilinear, aliases)",
    "plain_antialiased": "plain TFDS: the same, antialiased bicubic as ours",
    "ours": "ours, the same TFDS records",
    "ours_folder": "ours, the same JPEGs in a folder",
    "plain_prepared": "plain TensorFlow, prepared records",
    "ours_prepared": "ours, prepared records",
}

_WORKER = "tools.benchmarks.pipeline_worker"
_MIN_ROUNDS = 5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_batch_arguments(parser)
    parser.add_argument("--images", type=int, default=1024, help="JPEGs of 500 x 375 pixels, 32 of them distinct")
    parser.add_argument("--rounds", type=int, default=7, help="measurements of each pipeline, in turns")


def add_batch_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of a round, for this benchmark and its workers."""
    parser.add_argument("--resolution", type=int, default=128, help="height and width of the images in the batches")
    parser.add_argument("--batch", type=int, default=64, help="images in a batch")
    parser.add_argument("--batches", type=int, default=20, help="batches in a round")
    parser.add_argument("--warm_up", type=int, default=8, help="batches before a round that are not counted")


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Write the data and measure all pipelines in turns, each in a process of its own.

    Args:
        options: The options of `add_arguments`.

    Returns:
        The options; `jpeg_bytes`, the mean size of a JPEG; and for each of `PIPELINES` the `seconds` and
        `processor_seconds` for an image in every round, and its `speed_ratio` to `plain` and to `plain_antialiased`:
        the ratio of images per second, the median over the rounds.

    Raises:
        UserError: An option is too small.
    """
    _check_options(options)
    with tempfile.TemporaryDirectory() as directory, contextlib.ExitStack() as stack:
        jpeg_bytes = _write_data(Path(directory), options)
        names = ("resolution", "batch", "batches", "warm_up")
        arguments = [*(f"--{name}={getattr(options, name)}" for name in names), f"--data={directory}"]
        workers = [stack.enter_context(Worker(_WORKER, [*arguments, f"--pipeline={name}"])) for name in PIPELINES]
        about = [worker.wait_until_ready() for worker in workers]
        rounds = [[worker.run() for worker in workers] for _ in range(options.rounds)]
    measured = {
        name: {key: [turn[key] for turn in turns] for key in turns[0]} | facts
        for name, turns, facts in zip(PIPELINES, zip(*rounds, strict=True), about, strict=True)
    }
    for figures in measured.values():
        figures["speed_ratio"] = {
            peer: compute_median_ratio(measured[peer]["seconds"], figures["seconds"])
            for peer in ("plain", "plain_antialiased")
        }
    return {name: getattr(options, name) for name in (*names, "images", "rounds")} | {
        "jpeg_bytes": jpeg_bytes,
        "pipelines": measured,
    }


def format_rows(result: dict[str, Any]) -> list[list[str]]:
    """Return the rows of a table of the result of `run`."""
    size = f"{result['resolution']} px from 500 x 375 JPEGs of {result['jpeg_bytes'] / 1000:.0f} kB"
    table = [[size, "images/s", "processor time", "x plain", "x antialiased"]]
    for name, title in PIPELINES.items():
        figures = result["pipelines"][name]
        speeds = [1 / seconds for seconds in figures["seconds"]]
        table.append(
            [
                title,
                f"{statistics.median(speeds):,.0f} ({min(speeds):,.0f} to {max(speeds):,.0f})",
                f"{statistics.median(figures['processor_seconds']) * 1e3:.2f} ms",
                f"{figures['speed_ratio']['plain']:.2f}",
                f"{figures['speed_ratio']['plain_antialiased']:.2f}",
            ]
        )
    return table


def _check_options(options: argparse.Namespace) -> None:
    minima = {"rounds": _MIN_ROUNDS, "batches": 1, "batch": 1, "resolution": 1, "warm_up": 0, "images": options.batch}
    for name, minimum in minima.items():
        if getattr(options, name) < minimum:
            raise UserError(f"{name}: expected at least {minimum}, received {getattr(options, name)}")


def _write_data(directory: Path, options: argparse.Namespace) -> float:
    """Write JPEGs as files, as a TFDS data set and as prepared records.

    Returns:
        The mean size of a JPEG in bytes.
    """
    load_tensorflow()
    from tools import prepare_imagenet
    from tools.benchmarks.pipeline_data import NUM_FILES, write_image_directory, write_tfds_dataset

    paths = write_image_directory(directory / "folder", options.images)
    write_tfds_dataset(directory / "tfds", paths)
    output = directory / "prepared"
    arguments = [
        "--dataset=folder",
        f"--data_dir={directory / 'folder'}",
        f"--output={output}",
        f"--num_shards={NUM_FILES}",
    ]
    arguments += [f"--resolution={options.resolution}", "--num_workers=1"]
    prepare_imagenet.prepare(prepare_imagenet.parse_arguments(arguments), output / "train")
    return statistics.mean(path.stat().st_size for path in paths)
