"""Speed of the input pipeline on JPEG files and prepared records, compared with plain TFDS pipelines."""

from __future__ import annotations

import contextlib
import dataclasses
import statistics
import tempfile
from pathlib import Path
from typing import Any

from sagan_tf.cli.load_tensorflow import load_tensorflow
from sagan_tf.config.option import check_at_least_zero, check_positive, option
from sagan_tf.errors import UserError
from tools.benchmarks.measure import check_rounds, compute_median_ratio
from tools.benchmarks.pipelines import PIPELINES
from tools.benchmarks.worker_process import Worker


@dataclasses.dataclass(frozen=True)
class PipelineOptions:
    """Options of the data and the batches."""

    resolution: int = option(128, "Height and width of the images in the batches.")
    batch: int = option(64, "Images in a batch.")
    batches: int = option(20, "Batches in a round.")
    warm_up: int = option(8, "Batches before a round that are not counted.")
    images: int = option(1024, "JPEGs of 500 x 375 pixels, 32 of them distinct.")
    rounds: int = option(7, "Number of measurements of each pipeline; the pipelines alternate.")

    def __post_init__(self) -> None:
        check_rounds(self.rounds)
        check_positive(self, "resolution", "batch", "batches")
        check_at_least_zero(self, "warm_up")
        if self.images < self.batch:
            raise UserError(f"images: expected at least one batch, {self.batch}, received {self.images}")


OPTIONS = (PipelineOptions,)


def run(options: PipelineOptions) -> dict[str, Any]:
    """Write the data and measure all pipelines in turns, each in a process of its own.

    Args:
        options: The options of the benchmark.

    Returns:
        The options; `jpeg_bytes`, the mean size of a JPEG; and for each of `PIPELINES` the `seconds` and
        `processor_seconds` for an image in every round, and its `speed_ratio` to `plain` and to `plain_antialiased`:
        the ratio of images per second, the median over the rounds.
    """
    with tempfile.TemporaryDirectory() as directory, contextlib.ExitStack() as stack:
        jpeg_bytes = write_data(Path(directory), options)
        parameters = {name: getattr(options, name) for name in ("resolution", "batch", "batches", "warm_up")}
        parameters["directory"] = directory
        workers = [stack.enter_context(Worker("pipeline", parameters | {"pipeline": name})) for name in PIPELINES]
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
    return dataclasses.asdict(options) | {"jpeg_bytes": jpeg_bytes, "pipelines": measured}


def format_rows(result: dict[str, Any]) -> list[list[str]]:
    """Return the rows of a table of the result of `run`."""
    size = f"{result['resolution']} px from 500 x 375 JPEGs of {result['jpeg_bytes'] / 1000:.0f} kB"
    table = [[size, "images/s", "processor time", "x plain", "x antialiased"]]
    for name, pipeline in PIPELINES.items():
        figures = result["pipelines"][name]
        speeds = [1 / seconds for seconds in figures["seconds"]]
        table.append(
            [
                pipeline.title,
                f"{statistics.median(speeds):,.0f} ({min(speeds):,.0f} to {max(speeds):,.0f})",
                f"{statistics.median(figures['processor_seconds']) * 1e3:.2f} ms",
                f"{figures['speed_ratio']['plain']:.2f}",
                f"{figures['speed_ratio']['plain_antialiased']:.2f}",
            ]
        )
    return table


def write_data(directory: Path, options: PipelineOptions) -> float:
    """Write JPEGs as files, as a TFDS data set and as prepared records.

    Returns:
        The mean size of a JPEG in bytes.
    """
    load_tensorflow()
    from sagan_tf.config import DataConfig
    from sagan_tf.data.sources.registry import open_source
    from tools.benchmarks.pipeline_data import NUM_FILES, write_image_directory, write_tfds_dataset
    from tools.preparation.record_set import RecordFormat, write_record_set

    paths = write_image_directory(directory / "folder", options.images)
    write_tfds_dataset(directory / "tfds", paths)
    folder = DataConfig(dataset="folder", data_dir=str(directory / "folder"))
    source = open_source(folder, resolution=options.resolution, image_channels=3)
    record_format = RecordFormat("train", num_shards=NUM_FILES, image_format="jpeg")
    write_record_set(source, directory / "prepared" / "train", record_format, {}, num_workers=1)
    return statistics.mean(path.stat().st_size for path in paths)
