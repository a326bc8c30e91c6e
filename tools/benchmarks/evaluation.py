"""Speed of an evaluation of full size: InceptionV3 on images, and the Frechet distance of 50,000 x 2,048 features."""

from __future__ import annotations

import dataclasses
import tempfile
import time
from typing import Any

from sagan_tf.config.option import check_positive, option
from tools.benchmarks.measure import Measurement, Timing, compute_median_ratio, read_peak_memory_bytes
from tools.benchmarks.worker_process import Worker

_DIMENSIONS = 2048
_ROWS_AT_ONCE = 1000
_NUM_SOURCE_IMAGES = 2000


@dataclasses.dataclass(frozen=True)
class EvaluationOptions:
    """Options of the measured evaluations."""

    images: int = option(96, "128 px images in a measured evaluation.")
    batch_size: int = option(32, "Images in a batch of the extractor.")
    features: int = option(50_000, "Feature vectors of 2,048 numbers.")
    rounds: int = option(5, "Measured evaluations.")

    def __post_init__(self) -> None:
        check_positive(self, "images", "batch_size", "features", "rounds")


OPTIONS = (EvaluationOptions,)


def run(options: EvaluationOptions) -> dict[str, Any]:
    """Measure evaluations of images and of features.

    Args:
        options: The options of the benchmark.

    Returns:
        The sizes and the measurements. `share_outside_extractor` is the share of an evaluation's time that the
        extractor alone does not take, the median over the rounds.
    """
    with Worker("evaluation", {"images": options.images, "batch_size": options.batch_size}) as worker:
        worker.wait_until_ready()
        rounds = [worker.run() for _ in range(options.rounds)]
    with Worker("statistics", {"features": options.features}) as worker:
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


def prepare_evaluation(*, images: int, batch_size: int) -> Measurement:
    """Open an untrained InceptionV3 and images, and evaluate once.

    Returns:
        The measurement of an evaluation, and of the extractor alone with as many images, which are resized already.
    """
    import tensorflow as tf

    from sagan_tf.config import DataConfig
    from sagan_tf.data.sources.registry import open_source
    from sagan_tf.evaluation.evaluator import Evaluator
    from sagan_tf.evaluation.metrics import find_metrics
    from sagan_tf.features.extraction import Extraction
    from sagan_tf.features.extractors import ExtractorOptions, open_extractor

    with tempfile.TemporaryDirectory() as directory:
        _save_untrained_inception(directory)
        strategy = tf.distribute.OneDeviceStrategy("CPU:0")
        extractor = open_extractor(ExtractorOptions("inception", directory))
    data = DataConfig(dataset="fashion_mnist_10k", split="reference")
    source = open_source(data, resolution=128, image_channels=3).part(0, _NUM_SOURCE_IMAGES // images)
    evaluator = Evaluator(Extraction(extractor, strategy, batch_size), find_metrics(["is"]), None)
    resized = tf.random.uniform([batch_size, 299, 299, 3], -1.0, 1.0)
    extract = tf.function(extractor.network, autograph=False)

    def measure() -> dict[str, Any]:
        start = time.perf_counter()
        evaluator.evaluate_images(source)
        evaluation = time.perf_counter() - start
        start = time.perf_counter()
        for _ in range(-(-source.num_examples // batch_size)):
            [output.numpy() for output in extract(resized)]
        extractor_seconds = time.perf_counter() - start
        rate = source.num_examples / evaluation
        return {"images_per_second": rate, "evaluation_seconds": evaluation, "extractor_seconds": extractor_seconds}

    measure()
    return Measurement(measure)


def prepare_statistics(*, features: int) -> Measurement:
    """Prepare the statistics of two sets of random features, and their Frechet distance."""
    import numpy as np

    from sagan_tf.features.distances import compute_frechet_distance
    from sagan_tf.features.statistics import MOMENTS, StatisticsAccumulator

    random = np.random.default_rng(0)
    batch = np.maximum(random.normal(size=(_ROWS_AT_ONCE, _DIMENSIONS)), 0.0).astype(np.float32)

    def measure() -> dict[str, Any]:
        moments, seconds = [], []
        for shift in (0.0, 0.1):
            gatherer = StatisticsAccumulator(features, (MOMENTS,))
            start = time.perf_counter()
            while gatherer.count < features:
                gatherer.add(np.roll(batch, gatherer.count // _ROWS_AT_ONCE, 1) + np.float32(shift), batch, batch[:, 0])
            moments.append(gatherer.result().moments)
            seconds.append(time.perf_counter() - start)
        start = time.perf_counter()
        compute_frechet_distance(*moments)
        distance_seconds = time.perf_counter() - start
        return {
            "statistics_seconds": max(seconds),
            "distance_seconds": distance_seconds,
            "peak_memory_bytes": read_peak_memory_bytes(),
        }

    return Measurement(measure)


def _save_untrained_inception(directory: str) -> None:
    """Save an untrained InceptionV3 with the outputs of TF-GAN's.

    These are `pool_3` [batch, 2048] and `logits` [batch, 1008].
    """
    import keras
    import tensorflow as tf

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
