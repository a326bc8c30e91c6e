"""Mode nearest: each image beside its most similar training images, to detect memorization."""

from __future__ import annotations

import logging
from collections.abc import Iterator

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
_NUM_COMPARED = 10
"""Nearest training images of a candidate whose distances are compared with each other."""
_logger = logging.getLogger("sagan_tf")


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
    _check_sizes(generator, options.candidates, rows, columns)
    config = get_run_config(generator, options)
    source = open_training_images(config, options)
    strategy = create_local_strategy(options.strategy, options.logical_cpus)
    with strategy.scope():
        extractor = _open_extractor(config, options)
    extraction = Extraction(extractor, strategy, _BATCH_SIZE)
    extraction.extractor.check_channels(source.image_channels)
    seeds: np.ndarray = options.seed + np.arange(options.candidates or rows)
    classes = find_labels(options.labels, generator.num_classes, generator.class_names)
    labels = np.array([classes[seed % len(classes)] for seed in seeds])
    images = generator.images_from_seeds(seeds, labels, options.get_threshold(), options.batch_size)
    neighbors = _find_neighbors(images, source, extraction, max(columns - 1, _NUM_COMPARED))
    num_found = neighbors.distances.shape[1]
    if num_found < columns - 1:
        raise UserError(
            f"columns: expected at most {num_found + 1} for {num_found} training images, received {columns}"
        )
    shown = np.arange(rows)
    if options.candidates:
        shown = find_likely_copies(neighbors.distances)[:rows]
        _logger.info("most similar to training images: seeds %s", ", ".join(map(str, seeds[shown])))
    captions, count = [], columns - 1
    for row in shown:
        captions.append(generator.get_class_name(labels[row]) if generator.num_classes else f"seed {seeds[row]}")
        for distance, label in zip(neighbors.distances[row, :count], neighbors.labels[row, :count], strict=True):
            captions.append(f"{distance:.3g} {source.class_names[label] if source.class_names else ''}".strip())
    training_images = _read_images(source, neighbors.positions[shown, :count])
    tiles = np.concatenate([images[shown, np.newaxis], training_images], axis=1).reshape(-1, *generator.shape)
    return _draw_sheet(tiles, columns, captions)


def _check_sizes(generator: Generator, candidates: int, rows: int, columns: int) -> None:
    """Raise UserError for a sheet that cannot be made."""
    if columns < 2:
        raise UserError(f"columns: expected at least 2 for mode nearest, received {columns}")
    if 0 < candidates < rows:
        raise UserError(f"candidates: expected at least {rows}, the number of images to show, received {candidates}")
    check_sheet_size(generator, columns, rows, MIN_CAPTIONED_TILE_HEIGHT_PX)


def _draw_sheet(tiles: np.ndarray, columns: int, captions: list[str]) -> Image.Image:
    names = ["generated", *(f"nearest {rank}" for rank in range(1, columns))]
    return draw_image_sheet(
        tiles, columns, column_names=names, captions=captions, min_tile_height=MIN_CAPTIONED_TILE_HEIGHT_PX
    )


def find_likely_copies(distances: np.ndarray) -> np.ndarray:
    """Return the rows of queries, the likeliest copies first.

    The distance of a copy to its nearest training image is small relative to the distances of the next ones. The ratio
    does not depend on how densely the training images lie around the query.

    Args:
        distances: Distances to the nearest training images in ascending order, [n, at least 1].

    Reference: Carlini et al., Extracting Training Data from Diffusion Models, USENIX Security 2023, section 5.1.
    """
    if distances.shape[1] < 2:
        return np.argsort(distances[:, 0], kind="stable")
    ratios = distances[:, 0] / np.maximum(distances[:, 1:_NUM_COMPARED].mean(1), np.finfo(np.float64).tiny)
    return np.argsort(ratios, kind="stable")


class NearestNeighbors:
    """The nearest neighbors of queries among many images, which are added in batches.

    Args:
        features: Features of the queries, float32 [n, d].
        count: Number of neighbors of each query.

    Attributes:
        distances: Euclidean distances in ascending order, float64 [n, at most count].
        positions: Positions of the neighbors among all candidates, int64 [n, at most count].
        labels: Labels of the neighbors, int32 [n, at most count].
    """

    def __init__(self, features: np.ndarray, count: int) -> None:
        self._features: np.ndarray = features.astype(np.float64)
        self._count = count
        self.distances = np.zeros((len(features), 0))
        self.positions: np.ndarray = np.zeros((len(features), 0), np.int64)
        self._num_added = 0
        self.labels: np.ndarray = np.zeros((len(features), 0), np.int32)

    def add(self, features: np.ndarray, labels: np.ndarray) -> None:
        """Add a batch of candidates.

        Args:
            features: Features of the images, [batch, d].
            labels: Labels of the images, int32 [batch].
        """
        candidates: np.ndarray = features.astype(np.float64)
        products = self._features @ candidates.T
        squares = np.sum(self._features**2, 1)[:, np.newaxis] + np.sum(candidates**2, 1) - 2.0 * products
        distances = np.sqrt(np.maximum(squares, 0.0))
        closest = np.argsort(distances, axis=1, kind="stable")[:, : self._count]
        distances = np.concatenate([self.distances, np.take_along_axis(distances, closest, 1)], axis=1)
        positions = np.concatenate([self.positions, self._num_added + closest], axis=1)
        merged_labels = np.concatenate([self.labels, labels[closest]], axis=1)
        best = np.argsort(distances, axis=1, kind="stable")[:, : self._count]
        self.distances = np.take_along_axis(distances, best, 1)
        self.positions = np.take_along_axis(positions, best, 1)
        self.labels = np.take_along_axis(merged_labels, best, 1)
        self._num_added += len(features)


def _find_neighbors(images: np.ndarray, source: Source, extraction: Extraction, count: int) -> NearestNeighbors:
    """Return the nearest training images of generated images, uint8 [n, height, width, channels]."""
    parts = (images[start : start + _BATCH_SIZE] for start in range(0, len(images), _BATCH_SIZE))
    neighbors = NearestNeighbors(np.concatenate([extraction.extract_from_images(part)[0] for part in parts]), count)

    def batches() -> Iterator[FeatureBatch]:
        for batch in make_single_pass_dataset(source, batch_size=_BATCH_SIZE).as_numpy_iterator():
            yield FeatureBatch(*extraction.extract_from_images(batch["images"]), batch["labels"])

    with source.skipped.raise_user_errors():
        for batch in show_progress(batches(), source.num_examples, "training images"):
            neighbors.add(batch.features, batch.labels)
    return neighbors


def _read_images(source: Source, positions: np.ndarray) -> np.ndarray:
    """Return the training images at positions of the fixed order, uint8 [*positions.shape, height, width, channels].

    They are read again, because keeping the images of all candidates would take too much memory.
    """
    found: dict[int, np.ndarray] = {}
    wanted, start = np.unique(positions), 0
    with source.skipped.raise_user_errors():
        for batch in make_single_pass_dataset(source, batch_size=_BATCH_SIZE).as_numpy_iterator():
            stop = start + len(batch["images"])
            found |= {index: batch["images"][index - start] for index in wanted if start <= index < stop}
            start = stop
            if start > wanted[-1]:
                break
    return np.stack([found[index] for index in positions.ravel()]).reshape(*positions.shape, *found[wanted[0]].shape)


def _open_extractor(config: Config, options: SampleOptions) -> Extractor:
    evaluation = config.evaluation
    name = options.extractor or evaluation.extractor or "inception"
    fields = (evaluation.extractor_features, evaluation.extractor_logits)
    if name != evaluation.extractor:
        fields = (ExtractorOptions.features, ExtractorOptions.logits)
    return open_extractor(ExtractorOptions(name, options.inception_dir or evaluation.inception_dir, *fields))
