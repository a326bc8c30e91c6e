"""Worker that times the input pipeline of a configuration: reading, decoding and batching its data."""

from __future__ import annotations

import argparse
import time
from typing import Any

from sagan_tf.cli.flags import parse_config
from sagan_tf.data.pipeline import make_training_dataset
from sagan_tf.data.sources.registry import open_source
from tools.gpu_checking.worker import Measure, run_worker

_SECONDS = 5.0


def measure_decoding(flagfile: str, seconds: float = _SECONDS) -> dict[str, Any]:
    """Read batches for some seconds.

    Args:
        flagfile: The flagfile of the configuration.
        seconds: The minimum duration.

    Returns:
        `num_classes`, `num_examples` and `images_per_second`.
    """
    config = parse_config([f"--flagfile={flagfile}"])
    source = open_source(config.data, resolution=config.model.resolution, image_channels=config.model.image_channels)
    batch_size = min(config.training.global_batch_size, source.num_examples)
    dataset = make_training_dataset(
        source, batch_size=batch_size, seed=0, position=0, random_flip=config.data.random_flip
    )
    batches, count = iter(dataset), 0
    next(batches)
    start = time.perf_counter()
    while (elapsed := time.perf_counter() - start) < seconds:
        next(batches)
        count += batch_size
    return {
        "num_classes": len(source.class_names),
        "num_examples": source.num_examples,
        "images_per_second": count / elapsed,
    }


def prepare(options: argparse.Namespace) -> tuple[dict[str, Any], Measure]:
    """Return no facts about this process, and the function that measures."""
    return {}, lambda: measure_decoding(options.flagfile)


if __name__ == "__main__":
    run_worker(prepare)
