"""This project's 128 px generator as a worker: one batch of images, as arrays, whenever it is told to."""

from __future__ import annotations

import argparse
import time
from typing import Any

import tensorflow as tf

from sagan_tf.config import ModelConfig
from sagan_tf.networks import build_generator
from sagan_tf.training.sampling import compiled_generator
from tools.benchmarks.workers import serve


def main() -> None:
    """Builds, warms up and serves."""
    parser = argparse.ArgumentParser()
    for name in ("base_channels", "num_classes", "batch_size"):
        parser.add_argument(f"--{name}", type=int, required=True)
    options = parser.parse_args()
    config = ModelConfig(
        resolution=128,
        base_channels=options.base_channels,
        num_classes=options.num_classes,
        attention_resolutions=(32,),
    )
    generate = compiled_generator(build_generator(config))

    def run() -> dict[str, Any]:
        start = time.perf_counter()
        latents = tf.random.normal([options.batch_size, config.latent_dim])
        labels = tf.random.uniform([options.batch_size], 0, config.num_classes, tf.int32)
        generate(latents, labels).numpy()
        return {"seconds": time.perf_counter() - start}

    run(), run()
    serve({}, run)


if __name__ == "__main__":
    main()
