"""Worker that times training steps of a configuration on random images and returns the metrics of the first."""

from __future__ import annotations

import argparse
import time
from typing import Any

import tensorflow as tf

from sagan_tf.cli.flags import parse_config
from sagan_tf.config import Config
from sagan_tf.distribution.strategy import create_strategy
from tools.benchmarks.measure import read_peak_memory_bytes
from tools.benchmarks.train_step_worker import create_trainer
from tools.gpu_checking.worker import Measure, run_worker

_MAX_SECONDS = 20.0


def measure_steps(config: Config, strategy: tf.distribute.Strategy, max_steps: int) -> dict[str, Any]:
    """Train and time a few steps.

    Args:
        config: The configuration, with its number of classes.
        strategy: The strategy that computes the steps.
        max_steps: The maximum number of timed steps; 0: only the first step is run.

    Returns:
        `first_step_seconds` with tracing; `first_step_metrics`; `peak_memory_bytes` of the GPU that used most, or of
        this process without a GPU; and with timed steps `steps`, `step_seconds` and `images_per_second` (real images of
        all discriminator updates, over all replicas).
    """
    start = time.perf_counter()
    trainer = create_trainer(config, strategy)
    metrics = trainer.train(1)
    measured: dict[str, Any] = {"first_step_seconds": time.perf_counter() - start, "first_step_metrics": metrics}
    if max_steps:
        start = time.perf_counter()
        trainer.train(1)
        steps = max(min(max_steps, int(_MAX_SECONDS / (time.perf_counter() - start))), 1)
        start = time.perf_counter()
        trainer.train(steps)
        seconds = (time.perf_counter() - start) / steps
        images = config.training.global_batch_size * config.training.discriminator_steps_per_step
        measured |= {"steps": steps, "step_seconds": seconds, "images_per_second": images / seconds}
    return measured | {"peak_memory_bytes": _read_peak_memory_bytes()}


def _read_peak_memory_bytes() -> int:
    gpus = [device.name.rpartition("device:")[2] for device in tf.config.list_logical_devices("GPU")]
    if gpus:
        return max(int(tf.config.experimental.get_memory_info(gpu)["peak"]) for gpu in gpus)
    return read_peak_memory_bytes()


def prepare(options: argparse.Namespace) -> tuple[dict[str, Any], Measure]:
    """Return the number of replicas on this machine, and the function that measures."""
    config = parse_config([f"--flagfile={options.flagfile}"])
    strategy = create_strategy(config.training)
    return {"replicas": strategy.num_replicas_in_sync}, lambda: measure_steps(config, strategy, options.steps)


if __name__ == "__main__":
    run_worker(prepare)
