"""Mode nearest: beside every picture the training images most like it, to see whether the generator memorises."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from PIL import Image

from sagan_tf.class_labels import find_labels
from sagan_tf.config import Config
from sagan_tf.data.pipeline import single_pass_dataset
from sagan_tf.data.sources.source import Source
from sagan_tf.distribution.strategy import create_local_strategy
from sagan_tf.errors import UserError
from sagan_tf.features.extraction import Batch, Extraction, with_progress
from sagan_tf.features.extractors import Extractor, ExtractorOptions, open_extractor
from sagan_tf.generation.generators import Generator
from sagan_tf.sampling.options import SampleOptions
from sagan_tf.sampling.sheets import LARGE_TILE, check_size
from sagan_tf.sampling.training_images import config_of_run, open_training_images
from sagan_tf.visualization.image_grid import sheet

_DEFAULT_ROWS, _DEFAULT_COLUMNS = 8, 8
_BATCH_SIZE = 100


def nearest(generator: Generator, options: SampleOptions) -> Image.Image:
    """Show each image beside its nearest training images in an extractor's features, nearest first."""
    rows, columns = options.num_samples or _DEFAULT_ROWS, options.columns or _DEFAULT_COLUMNS
    if columns < 2:
        raise UserError(f"columns: expected at least 2 for nearest, received {columns}")
    check_size(generator, columns, rows, LARGE_TILE)
    config = config_of_run(generator, options)
    source = open_training_images(config, options)
    strategy = create_local_strategy(options.strategy, options.logical_cpus)
    with strategy.scope():
        extractor = _open_extractor(config, options)
    extraction = Extraction(extractor, strategy, _BATCH_SIZE)
    extraction.extractor.check_channels(source.image_channels)
    seeds: np.ndarray = options.seed + np.arange(rows)
    classes = find_labels(options.labels, generator.num_classes, generator.class_names)
    labels = np.array([classes[seed % len(classes)] for seed in seeds])
    made = generator.of_seeds(seeds, labels, options.threshold(), options.batch_size)
    features = np.concatenate([extraction.of_images(made[i : i + _BATCH_SIZE])[0] for i in range(0, rows, _BATCH_SIZE)])
    found = Neighbours(features, columns - 1)
    for images, batch in _features_of(source, extraction):
        found.add(images, batch.features, batch.labels)
    if found.distances.shape[1] < columns - 1:
        raise UserError(f"columns: expected at most {found.distances.shape[1] + 1} for so few training images")
    captions = []
    for row in range(rows):
        captions.append(generator.class_name(labels[row]) if generator.num_classes else f"seed {seeds[row]}")
        for distance, label in zip(found.distances[row], found.labels[row], strict=True):
            captions.append(f"{distance:.3g} {source.class_names[label] if source.class_names else ''}".strip())
    tiles = np.concatenate([made[:, np.newaxis], found.images], axis=1).reshape(-1, *generator.shape)
    names = ["generated", *(f"nearest {place}" for place in range(1, columns))]
    return sheet(tiles, columns, column_names=names, captions=captions, least_tile=LARGE_TILE)


class Neighbours:
    """The nearest of many images to a few, which pass by in batches.

    Args:
        features: float32 [n, d], of the few.
        count: how many neighbours of each.

    Attributes:
        distances: float64 [n, at most count], Euclidean, ascending.
        images: uint8 [n, at most count, height, width, channels].
        labels: int32 [n, at most count].
    """

    def __init__(self, features: np.ndarray, count: int) -> None:
        self._features: np.ndarray = features.astype(np.float64)
        self._count = count
        self.distances = np.zeros((len(features), 0))
        self.images: np.ndarray | None = None
        self.labels: np.ndarray = np.zeros((len(features), 0), np.int32)

    def add(self, images: np.ndarray, features: np.ndarray, labels: np.ndarray) -> None:
        """Let a batch pass by."""
        others: np.ndarray = features.astype(np.float64)
        products = self._features @ others.T
        squares = np.sum(self._features**2, 1)[:, np.newaxis] + np.sum(others**2, 1) - 2.0 * products
        distances = np.sqrt(np.maximum(squares, 0.0))
        rows = len(self._features)
        known = np.zeros((rows, 0, *images.shape[1:]), images.dtype) if self.images is None else self.images
        # Of the batch, only those that could be among the nearest: a batch of images for each row would be large.
        closest = np.argsort(distances, axis=1, kind="stable")[:, : self._count]
        distances = np.concatenate([self.distances, np.take_along_axis(distances, closest, 1)], axis=1)
        pictures = np.concatenate([known, images[closest]], axis=1)
        numbers = np.concatenate([self.labels, labels[closest]], axis=1)
        best = np.argsort(distances, axis=1, kind="stable")[:, : self._count]
        self.distances = np.take_along_axis(distances, best, 1)
        self.images = pictures[np.arange(rows)[:, np.newaxis], best]
        self.labels = np.take_along_axis(numbers, best, 1)


def _features_of(source: Source, extraction: Extraction) -> Iterator[tuple[np.ndarray, Batch]]:
    """Return every training image once, with its features."""
    kept: list[np.ndarray] = []

    def batches() -> Iterable[Batch]:
        for batch in single_pass_dataset(source, batch_size=_BATCH_SIZE).as_numpy_iterator():
            kept.append(batch["images"])
            yield Batch(*extraction.of_images(batch["images"]), batch["labels"])

    with source.skipped.raising_user_errors():
        for batch in with_progress(batches(), source.num_examples, "training images"):
            yield kept.pop(), batch


def _open_extractor(config: Config, options: SampleOptions) -> Extractor:
    of_run = config.evaluation
    name = options.extractor or of_run.extractor or "inception"
    fields = (of_run.extractor_features, of_run.extractor_logits)
    if name != of_run.extractor:
        fields = (ExtractorOptions.features, ExtractorOptions.logits)
    return open_extractor(ExtractorOptions(name, options.inception_dir or of_run.inception_dir, *fields))
