"""Evaluation as a worker of `tools/benchmarks/evaluation.py`: through an untrained Inception, or of random features."""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from sagan_tf.config import DataConfig
from sagan_tf.data.sources.registry import open_source
from sagan_tf.evaluation.evaluator import Evaluator
from sagan_tf.evaluation.metrics import find_metrics
from sagan_tf.features.distances import frechet_distance
from sagan_tf.features.extraction import Extraction
from sagan_tf.features.extractors import ExtractorOptions, open_extractor
from sagan_tf.features.statistics import STATISTICS, Gatherer
from tools.benchmarks.measure import peak_memory_bytes
from tools.benchmarks.workers import serve

_DIMENSIONS = 2048
_ROWS_AT_ONCE = 1000


def save_untrained_inception(folder: str) -> None:
    """InceptionV3 with the outputs of TF-GAN's, and weights that mean nothing: `pool_3` 2,048, `logits` 1,008."""
    import keras

    body = keras.applications.InceptionV3(include_top=False, weights=None, pooling="avg", input_shape=(299, 299, 3))
    head = keras.layers.Dense(1008)
    head.build((None, _DIMENSIONS))
    module = tf.Module()
    module.layers = [body, head]

    @tf.function(input_signature=[tf.TensorSpec([None, 299, 299, 3])], autograph=False)
    def outputs(images: tf.Tensor) -> dict[str, tf.Tensor]:
        features = body(images, training=False)
        return {"pool_3": features, "logits": head(features)}

    tf.saved_model.save(module, folder, signatures=outputs)


def inception_round(options: argparse.Namespace) -> Callable[[], dict[str, Any]]:
    """Evaluate real images, and show as many, already resized, to the extractor alone."""
    with tempfile.TemporaryDirectory() as folder:
        save_untrained_inception(folder)
        strategy = tf.distribute.OneDeviceStrategy("CPU:0")
        extractor = open_extractor(ExtractorOptions("inception", folder))
    data = DataConfig(dataset="fashion_mnist_10k", split="reference")
    source = open_source(data, resolution=128, image_channels=3).part(0, 2000 // options.images)
    evaluator = Evaluator(Extraction(extractor, strategy, options.batch_size), find_metrics(["is"]), None)
    ready = tf.random.uniform([options.batch_size, 299, 299, 3], -1.0, 1.0)
    alone = tf.function(extractor.network, autograph=False)

    def round_of_both() -> dict[str, Any]:
        start = time.perf_counter()
        evaluator.of_images(source)
        evaluation = time.perf_counter() - start
        start = time.perf_counter()
        batches = -(-source.num_examples // options.batch_size)
        for _ in range(batches):
            [output.numpy() for output in alone(ready)]
        alone_seconds = time.perf_counter() - start
        rate = source.num_examples / evaluation
        return {"images_per_second": rate, "evaluation_seconds": evaluation, "extractor_seconds": alone_seconds}

    return round_of_both


def statistics_round(options: argparse.Namespace) -> dict[str, Any]:
    """Statistics of two sets of features, batch by batch, and their distance."""
    random = np.random.default_rng(0)
    batch = np.maximum(random.normal(size=(_ROWS_AT_ONCE, _DIMENSIONS)), 0.0).astype(np.float32)
    moments, seconds = [], []
    for shift in (0.0, 0.1):
        gatherer = Gatherer(options.features, (STATISTICS,))
        start = time.perf_counter()
        while gatherer.count < options.features:
            gatherer.add(np.roll(batch, gatherer.count // _ROWS_AT_ONCE, 1) + np.float32(shift), batch, batch[:, 0])
        moments.append(gatherer.gathered().moments)
        seconds.append(time.perf_counter() - start)
    start = time.perf_counter()
    frechet_distance(*moments)
    return {
        "statistics_seconds": max(seconds),
        "distance_seconds": time.perf_counter() - start,
        "peak_memory_bytes": peak_memory_bytes(),
    }


def main() -> None:
    """Make ready and serve."""
    parser = argparse.ArgumentParser()
    parser.add_argument("task", choices=("inception", "statistics"))
    parser.add_argument("--images", type=int, default=96)
    parser.add_argument("--batch_size", type=int, default=32)
    parser.add_argument("--features", type=int, default=50_000)
    options = parser.parse_args()
    if options.task == "statistics":
        serve({}, lambda: statistics_round(options))
        return
    run = inception_round(options)
    run()
    serve({}, run)


if __name__ == "__main__":
    main()
