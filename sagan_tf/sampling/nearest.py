"""Mode nearest: each image beside its most similar training images, to detect memorization."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from PIL import Image

from sagan_tf.class_labels import find_labels
from sagan_tf.config import Config
from sagan_tf.data.pipeline import make_single_pass_dataset
from sagan_tf.data.sources.source import Source
from sagan_tf.distribution.strategy import create_local_strategy
from sagan_tf.errors import UserError
from sagan_tf.features.extraction import Extraction, FeatureBatch, show_progress
from sagan_tf.features.extractor import Extractor
from sagan_tf.features.extractors import ExtractorOptions, open_extractor
from sagan_tf.generation.generators import Generator
from sagan_tf.sampling.options import SampleOptions
from sagan_tf.sampling.sheets import MIN_CAPTIONED_TILE_HEIGHT_PX, check_sheet_size
from sagan_tf.sampling.training_images import get_run_config, open_training_images
from sagan_tf.visualization.image_grid import draw_image_sheet

_DEFAULT_ROWS, _DEFAULT_COLUMNS = 8, 8
_BATCH_SIZE = 100


def make_nearest_sheet(generator: Generator, options: SampleOptions) -> Image.Image:
    """Make a sheet of images beside their nearest training images.

    Distances are those of an extractor's features. The nearest image comes first.

    Args:
        generator: The generator of a run.
        options: Options of the command.

    Returns:
        The sheet.

    Raises:
        UserError: The options do not fit the generator or its training data.
    """
    rows, columns = options.num_samples or _DEFAULT_ROWS, options.columns or _DEFAULT_COLUMNS
    if columns < 2:
        raise UserError(f"columns: expected at least 2 for mode nearest, received {columns}")
    check_sheet_size(generator, columns, rows, MIN_CAPTIONED_TILE_HEIGHT_PX)
    config = get_run_config(generator, options)
    source = open_training_images(config, options)
    strategy = create_local_strategy(options.strategy, options.logical_cpus)
    with strategy.scope():
        extractor = _open_extractor(config, options)
    extraction = Extraction(extractor, strategy, _BATCH_SIZE)
    extraction.extractor.check_channels(source.image_channels)
    seeds: np.ndarray = options.seed + np.arange(rows)
    classes = find_labels(options.labels, generator.num_classes, generator.class_names)
    labels = np.array([classes[seed % len(classes)] for seed in seeds])
    images = generator.images_from_seeds(seeds, labels, options.get_threshold(), options.batch_size)
    batches = (images[start : start + _BATCH_SIZE] for start in range(0, rows, _BATCH_SIZE))
    features = np.concatenate([extraction.extract_from_images(batch)[0] for batch in batches])
    neighbors = NearestNeighbors(features, columns - 1)
    for training_images, batch in _extract_training_features(source, extraction):
        neighbors.add(training_images, batch.features, batch.labels)
    num_found = neighbors.distances.shape[1]
    if num_found < columns - 1:
        raise UserError(
            f"columns: expected at most {num_found + 1} for {num_found} training images, received {columns}"
        )
    captions = []
    for row in range(rows):
        captions.append(generator.get_class_name(labels[row]) if generator.num_classes else f"seed {seeds[row]}")
        for distance, label in zip(neighbors.distances[row], neighbors.labels[row], strict=True):
            captions.append(f"{distance:.3g} {source.class_names[label] if source.class_names else ''}".strip())
    tiles = np.concatenate([images[:, np.newaxis], neighbors.images], axis=1).reshape(-1, *generator.shape)
    names = ["generated", *(f"nearest {rank}" for rank in range(1, columns))]
    return draw_image_sheet(
        tiles, columns, column_names=names, captions=captions, min_tile_height=MIN_CAPTIONED_TILE_HEIGHT_PX
    )


class NearestNeighbors:
    """The nearest neighbors of queries among many images, which are added in batches.

    Args:
        features: Features of the queries, float32 [n, d].
        count: Number of neighbors of each query.

    Attributes:
        distances: Euclidean distances in ascending order, float64 [n, at most count].
        images: Images of the neighbors, uint8 [n, at most count, height, width, channels].
        labels: Labels of the neighbors, int32 [n, at most count].
    """

    def __init__(self, features: np.ndarray, count: int) -> None:
        self._features: np.ndarray = features.astype(np.float64)
        self._count = count
        self.distances = np.zeros((len(features), 0))
        self.images: np.ndarray | None = None
        self.labels: np.ndarray = np.zeros((len(features), 0), np.int32)

    def add(self, images: np.ndarray, features: np.ndarray, labels: np.ndarray) -> None:
        """Add a batch of candidates.

        Args:
            images: Images, uint8 [batch, height, width, channels].
            features: Features of the images, [batch, d].
            labels: Labels of the images, int32 [batch].
        """
        candidates: np.ndarray = features.astype(np.float64)
        products = self._features @ candidates.T
        squares = np.sum(self._features**2, 1)[:, np.newaxis] + np.sum(candidates**2, 1) - 2.0 * products
        distances = np.sqrt(np.maximum(squares, 0.0))
        rows = len(self._features)
        known = np.zeros((rows, 0, *images.shape[1:]), images.dtype) if self.images is None else self.images
        # Keep only the candidates that can be among the nearest, because a batch of images for each query is large.
        closest = np.argsort(distances, axis=1, kind="stable")[:, : self._count]
        distances = np.concatenate([self.distances, np.take_along_axis(distances, closest, 1)], axis=1)
        merged_images = np.concatenate([known, images[closest]], axis=1)
        merged_labels = np.concatenate([self.labels, labels[closest]], axis=1)
        best = np.argsort(distances, axis=1, kind="stable")[:, : self._count]
        self.distances = np.take_along_axis(distances, best, 1)
        self.images = merged_images[np.arange(rows)[:, np.newaxis], best]
        self.labels = np.take_along_axis(merged_labels, best, 1)


def _extract_training_features(source: Source, extraction: Extraction) -> Iterator[tuple[np.ndarray, FeatureBatch]]:
    """Yield every training image once, with its features."""
    pending: list[np.ndarray] = []

    def batches() -> Iterable[FeatureBatch]:
        for batch in make_single_pass_dataset(source, batch_size=_BATCH_SIZE).as_numpy_iterator():
            pending.append(batch["images"])
            yield FeatureBatch(*extraction.extract_from_images(batch["images"]), batch["labels"])

    with source.skipped.raise_user_errors():
        for batch in show_progress(batches(), source.num_examples, "training images"):
            yield pending.pop(), batch


def _open_extractor(config: Config, options: SampleOptions) -> Extractor:
    evaluation = config.evaluation
    name = options.extractor or evaluation.extractor or "inception"
    fields = (evaluation.extractor_features, evaluation.extractor_logits)
    if name != evaluation.extractor:
        fields = (ExtractorOptions.features, ExtractorOptions.logits)
    return open_extractor(ExtractorOptions(name, options.inception_dir or evaluation.inception_dir, *fields))
