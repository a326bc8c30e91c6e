"""Time training steps of a configuration on random images, and report the metrics of the first."""

from __future__ import annotations

import argparse
import time
from typing import Any

import tensorflow as tf

from sagan_tf.distribution.memory_errors import memory_error
from sagan_tf.flags import parse_config
from sagan_tf.text import one_line
from tools.benchmarks.measure import peak_memory_bytes
from tools.benchmarks.train_step_worker import create_trainer
from tools.benchmarks.workers import serve

_MAX_SECONDS = 20.0


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--flagfile", required=True)
    parser.add_argument("--steps", type=int, required=True)
    return parser.parse_args(arguments)


def measure_steps(flagfile: str, max_steps: int) -> dict[str, Any]:
    """Train a few steps.

    Args:
        flagfile: The configuration, with its number of classes.
        max_steps: Timed steps; 0: only the first step is done.

    Returns:
        `first_step_seconds` with tracing, `first_step_metrics`, `peak_memory_bytes` (of the first GPU, or of this
        process without one), and with timed steps `steps`, `step_seconds` and `images_per_second` (real images of one
        discriminator update a step, over all replicas).
    """
    config = parse_config([f"--flagfile={flagfile}"])
    start = time.perf_counter()
    trainer = create_trainer(config)
    metrics = trainer.train(1)
    measured: dict[str, Any] = {
        "first_step_seconds": time.perf_counter() - start,
        "first_step_metrics": metrics,
        "replicas": trainer.strategy.num_replicas_in_sync,
    }
    if max_steps:
        start = time.perf_counter()
        trainer.train(1)
        steps = max(min(max_steps, int(_MAX_SECONDS / (time.perf_counter() - start))), 1)
        start = time.perf_counter()
        trainer.train(steps)
        seconds = (time.perf_counter() - start) / steps
        images = config.training.global_batch_size * config.training.discriminator_steps_per_step
        measured |= {"steps": steps, "step_seconds": seconds, "images_per_second": images / seconds}
    return measured | {"peak_memory_bytes": _peak_memory()}


def _peak_memory() -> int:
    if tf.config.list_logical_devices("GPU"):
        return int(tf.config.experimental.get_memory_info("GPU:0")["peak"])
    return peak_memory_bytes()


def main() -> None:
    """Measure once; an error is an answer too, since it is what a bug report is about."""
    options = parse_arguments()
    try:
        answer = measure_steps(options.flagfile, options.steps)
    except Exception as error:
        answer = {
            "error": f"{type(error).__name__}: {one_line(str(error))[:300]}",
            "out_of_memory": memory_error(error, "training", "") is not None,
        }
    serve(answer, dict)


if __name__ == "__main__":
    main()
