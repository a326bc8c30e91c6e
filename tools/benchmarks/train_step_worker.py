"""Worker that runs training steps of this project, with the `Trainer` of training and random images."""

from __future__ import annotations

import argparse
import time
from typing import Any

import tensorflow as tf

from sagan_tf.config import Config, ModelConfig, TrainingConfig
from sagan_tf.distribution.strategy import create_strategy
from sagan_tf.training.state import create_state
from sagan_tf.training.trainer import Trainer
from sagan_tf.training.updates import create_updates
from tools.benchmarks.arithmetic import count_multiply_adds
from tools.benchmarks.measure import read_peak_memory_bytes
from tools.benchmarks.workers import serve

WARM_UP = 2
_SEED = (0, 0)


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--resolution", type=int, required=True)
    parser.add_argument("--image_channels", type=int, required=True)
    parser.add_argument("--base_channels", type=int, required=True)
    parser.add_argument("--num_classes", type=int, required=True)
    parser.add_argument("--attention_resolution", type=int, required=True)
    parser.add_argument("--batch_size", type=int, required=True)
    parser.add_argument("--precision", required=True)
    parser.add_argument("--resampling", required=True)
    parser.add_argument("--jit_compile", action="store_true")
    return parser.parse_args(arguments)


def create_config(options: argparse.Namespace) -> Config:
    """Create the configuration that the options describe."""
    model = ModelConfig(
        resolution=options.resolution,
        image_channels=options.image_channels,
        base_channels=options.base_channels,
        num_classes=options.num_classes,
        attention_resolutions=(options.attention_resolution,) if options.attention_resolution else (),
        resampling=options.resampling,
    )
    training = TrainingConfig(
        global_batch_size=options.batch_size,
        precision=options.precision,
        jit_compile=options.jit_compile,
        strategy="one_device",
    )
    return Config(model=model, training=training)


def create_trainer(config: Config, strategy: tf.distribute.Strategy) -> Trainer:
    """Create a trainer whose data are the same random images in every step."""
    batch, size = config.training.global_batch_size, config.model.resolution
    shape, classes = [batch, size, size, config.model.image_channels], max(config.model.num_classes, 1)
    with tf.device("CPU:0"):  # The CPU gives the same images on every machine.
        images = {
            "images": tf.random.stateless_uniform(shape, _SEED, -1.0, 1.0, alg="philox"),
            "labels": tf.random.stateless_uniform([batch], _SEED, 0, classes, tf.int32, alg="philox"),
            "positions": tf.range(batch, dtype=tf.int64),
        }
    with strategy.scope():
        state = create_state(config)
    dataset = tf.data.Dataset.from_tensors(images).repeat()
    iterator = iter(strategy.experimental_distribute_dataset(dataset))
    return Trainer(create_updates(config, state), strategy, iterator, config.training)


def main() -> None:
    """Build the networks, warm up, and serve requests."""
    config = create_config(parse_arguments())
    start = time.perf_counter()
    trainer = create_trainer(config, create_strategy(config.training))
    trainer.train(1)
    first_step = time.perf_counter() - start
    for _ in range(WARM_UP - 1):
        trainer.train(1)
    graph, batch = trainer.trace_loop(), config.training.global_batch_size
    flops, with_transforms = (
        2 * count_multiply_adds(graph, transforms=transforms) / batch for transforms in (False, True)
    )

    def run() -> dict[str, Any]:
        start = time.perf_counter()
        trainer.train(1)
        return {"seconds": time.perf_counter() - start, "peak_memory_bytes": read_peak_memory_bytes()}

    serve(
        {
            "flops_per_image": flops,
            "flops_per_image_with_transforms": with_transforms,
            "seconds_to_first_step": first_step,
        },
        run,
    )


if __name__ == "__main__":
    main()
