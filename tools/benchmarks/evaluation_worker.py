"""Worker of `tools/benchmarks/evaluation.py` that evaluates with an untrained InceptionV3, or random features."""

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
from sagan_tf.features.distances import compute_frechet_distance
from sagan_tf.features.extraction import Extraction
from sagan_tf.features.extractors import ExtractorOptions, open_extractor
from sagan_tf.features.statistics import MOMENTS, StatisticsAccumulator
from tools.benchmarks.measure import read_peak_memory_bytes
from tools.benchmarks.workers import serve

_DIMENSIONS = 2048
_ROWS_AT_ONCE = 1000


def save_untrained_inception(directory: str) -> None:
    """Save an untrained InceptionV3 with the outputs of TF-GAN's.

    These are `pool_3` [batch, 2048] and `logits` [batch, 1008].
    """
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

    tf.saved_model.save(module, directory, signatures=outputs)


def create_inception_round(options: argparse.Namespace) -> Callable[[], dict[str, Any]]:
    """Create a function that times an evaluation, and the extractor alone.

    The extractor alone receives as many images, which are resized already.
    """
    with tempfile.TemporaryDirectory() as directory:
        save_untrained_inception(directory)
        strategy = tf.distribute.OneDeviceStrategy("CPU:0")
        extractor = open_extractor(ExtractorOptions("inception", directory))
    data = DataConfig(dataset="fashion_mnist_10k", split="reference")
    source = open_source(data, resolution=128, image_channels=3).part(0, 2000 // options.images)
    evaluator = Evaluator(Extraction(extractor, strategy, options.batch_size), find_metrics(["is"]), None)
    resized = tf.random.uniform([options.batch_size, 299, 299, 3], -1.0, 1.0)
    extract = tf.function(extractor.network, autograph=False)

    def run_round() -> dict[str, Any]:
        start = time.perf_counter()
        evaluator.evaluate_images(source)
        evaluation = time.perf_counter() - start
        start = time.perf_counter()
        batches = -(-source.num_examples // options.batch_size)
        for _ in range(batches):
            [output.numpy() for output in extract(resized)]
        extractor_seconds = time.perf_counter() - start
        rate = source.num_examples / evaluation
        return {"images_per_second": rate, "evaluation_seconds": evaluation, "extractor_seconds": extractor_seconds}

    return run_round


def measure_statistics(options: argparse.Namespace) -> dict[str, Any]:
    """Measure the statistics of two sets of features and their Frechet distance."""
    random = np.random.default_rng(0)
    batch = np.maximum(random.normal(size=(_ROWS_AT_ONCE, _DIMENSIONS)), 0.0).astype(np.float32)
    moments, seconds = [], []
    for shift in (0.0, 0.1):
        gatherer = StatisticsAccumulator(options.features, (MOMENTS,))
        start = time.perf_counter()
        while gatherer.count < options.features:
            gatherer.add(np.roll(batch, gatherer.count // _ROWS_AT_ONCE, 1) + np.float32(shift), batch, batch[:, 0])
        moments.append(gatherer.result().moments)
        seconds.append(time.perf_counter() - start)
    start = time.perf_counter()
    compute_frechet_distance(*moments)
    return {
        "statistics_seconds": max(seconds),
        "distance_seconds": time.perf_counter() - start,
        "peak_memory_bytes": read_peak_memory_bytes(),
    }


def main() -> None:
    """Prepare the task, and serve requests."""
    parser = argparse.ArgumentParser()
    parser.add_argument("task", choices=("inception", "statistics"))
    parser.add_argument("--images", type=int, default=96)
    parser.add_argument("--batch_size", type=int, default=32)
    parser.add_argument("--features", type=int, default=50_000)
    options = parser.parse_args()
    if options.task == "statistics":
        serve({}, lambda: measure_statistics(options))
        return
    run = create_inception_round(options)
    run()
    serve({}, run)


if __name__ == "__main__":
    main()
