"""Sheets of pictures: by class, every class, on the way from one to another, at several truncations."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from PIL import Image

from sagan_tf.class_labels import find_labels
from sagan_tf.errors import UserError
from sagan_tf.generation.generators import Generator
from sagan_tf.generation.latents import NO_TRUNCATION, latents_of_seeds, spread_classes
from sagan_tf.sampling.class_blends import blended_generator
from sagan_tf.sampling.options import SampleOptions
from sagan_tf.visualization.image_grid import LEAST_TILE, fits, sheet

LARGE_TILE = 96
"""Pixels, of pictures that have a caption each."""
_MOST_ROWS = 10
_ROWS, _ROWS_BETWEEN_CLASSES = 8, 4
_COLUMNS = 8
_CLASSES_ON_THE_WAY = 3
_TRUNCATIONS = (math.inf, 2.0, 1.5, 1.0, 0.75, 0.5, 0.25, 0.0)


def grid(generator: Generator, options: SampleOptions) -> Image.Image:
    """Return a row a class, the same seeds in every row; without classes as many rows as columns."""
    labels, columns = shown_labels(generator, options), options.columns or _COLUMNS
    if generator.num_classes:
        rows, seeds = labels, np.tile(_seeds(options, columns), len(labels))
    else:
        rows = [0] * (options.num_samples or columns)
        seeds = _seeds(options, len(rows) * columns)
    check_size(generator, columns, len(rows))
    images = generator.of_seeds(seeds, np.repeat(rows, columns), options.threshold(), options.batch_size)
    return sheet(images, columns, row_names=class_names(generator, labels))


def classes(generator: Generator, options: SampleOptions) -> Image.Image:
    """One picture of each class, all of the same seed, with its name below."""
    if not generator.num_classes:
        raise UserError("mode: expected a generator with classes for classes, received one without")
    labels = find_labels(options.labels, generator.num_classes, generator.class_names)
    columns = min(options.columns or math.ceil(math.sqrt(2 * len(labels))), len(labels))
    rows = math.ceil(len(labels) / columns)
    check_size(generator, columns, rows, LARGE_TILE)
    seeds = np.full(len(labels), options.seed)
    images = generator.of_seeds(seeds, np.array(labels), options.threshold(), options.batch_size)
    empty: np.ndarray = np.full((columns * rows - len(labels), *generator.shape), 255, np.uint8)
    captions = [generator.class_name(label) for label in labels] + [""] * len(empty)
    return sheet(np.concatenate([images, empty]), columns, captions=captions, least_tile=LARGE_TILE)


def interpolation(generator: Generator, options: SampleOptions) -> Image.Image:
    """From one picture to another, a row each: between two seeds of one class, or between two classes of one seed."""
    if options.between == "classes":
        return _between_classes(generator, options)
    labels, columns = shown_labels(generator, options), options.columns or _COLUMNS
    rows = labels or [0] * (options.num_samples or _ROWS)
    check_size(generator, columns, len(rows))
    # With classes the same two seeds in every row, so that rows differ by class alone; without, each row has its own.
    starts: np.ndarray = options.seed + (np.zeros(len(rows), np.int64) if labels else 2 * np.arange(len(rows)))
    begin, end = (
        latents_of_seeds(seeds, generator.latent_dim, options.threshold()).numpy() for seeds in (starts, starts + 1)
    )
    latents = [spherical_path(*ends, columns) for ends in zip(begin, end, strict=True)]
    images = generator.of_latents(np.concatenate(latents), np.repeat(rows, columns), options.batch_size)
    return sheet(images, columns, row_names=class_names(generator, labels))


def truncation(generator: Generator, options: SampleOptions) -> Image.Image:
    """Return a row a class, one seed, the same picture at several truncations."""
    thresholds = options.truncations or _TRUNCATIONS
    labels = shown_labels(generator, options)
    rows = labels or [0] * (options.num_samples or _ROWS)
    check_size(generator, len(thresholds), len(rows))
    seeds: np.ndarray = options.seed + (np.zeros(len(rows), np.int64) if labels else np.arange(len(rows)))
    images = generator.of_seeds(
        np.repeat(seeds, len(thresholds)),
        np.repeat(rows, len(thresholds)),
        np.tile(thresholds, len(rows)),
        options.batch_size,
    )
    names = ["none" if value >= NO_TRUNCATION else f"{value:g}" for value in thresholds]
    return sheet(images, len(thresholds), row_names=class_names(generator, labels), column_names=names)


def spherical_path(start: np.ndarray, end: np.ndarray, steps: int) -> np.ndarray:
    """Latents from one to another on a great circle (Shoemake's slerp), their lengths changing evenly.

    On a straight line, the middle would be shorter than any latent that the generator has seen.

    Args:
        start, end: [latent_dim].
        steps: latents, both ends included; 1: the start alone.

    Returns:
        float32 [steps, latent_dim].
    """
    first, last = np.linalg.norm(start), np.linalg.norm(end)
    places = np.linspace(0.0, 1.0, steps)[:, np.newaxis]
    angle = math.acos(float(np.clip(start @ end / max(first * last, 1e-12), -1.0, 1.0)))
    # Nearly the same direction, opposite ones, between which there is no one way, or none at all (truncation 0).
    if math.sin(angle) < 1e-4 or min(first, last) < 1e-6:
        return ((1.0 - places) * start + places * end).astype(np.float32)
    directions = (np.sin((1.0 - places) * angle) * start / first + np.sin(places * angle) * end / last) / math.sin(
        angle
    )
    return (directions * ((1.0 - places) * first + places * last)).astype(np.float32)


def shown_labels(generator: Generator, options: SampleOptions) -> list[int]:
    """Return the labels that were asked for, or, of many, some evenly spread; none for a generator without classes."""
    if options.labels or not generator.num_classes:
        found = find_labels(options.labels, generator.num_classes, generator.class_names)
        return found if generator.num_classes else []
    return spread_classes(generator.num_classes, options.num_samples or _MOST_ROWS)


def class_names(generator: Generator, labels: Sequence[int]) -> list[str]:
    """Names of rows."""
    return [generator.class_name(label) for label in labels]


def check_size(generator: Generator, columns: int, rows: int, least_tile: int = LEAST_TILE) -> None:
    """Raise UserError for a sheet of pictures enlarged to `least_tile` that is too large to be opened."""
    if not fits(columns, rows, max(generator.shape[:2]), least_tile):
        raise UserError(
            f"output: expected a sheet that can be opened, received {columns} x {rows} pictures of "
            f"{generator.shape[0]} px; ask for fewer, or take mode images"
        )


def _between_classes(generator: Generator, options: SampleOptions) -> Image.Image:
    labels = find_labels(options.labels, generator.num_classes, generator.class_names)
    labels = labels if options.labels else labels[:_CLASSES_ON_THE_WAY]
    if len(labels) < 2:
        raise UserError(f"labels: expected at least two classes to go between, received {len(labels)}")
    if generator.network is None or generator.config is None:
        raise UserError("saved_model: expected --run_dir for interpolation between classes, received an export")
    rows, steps = options.num_samples or _ROWS_BETWEEN_CLASSES, max(options.columns or _COLUMNS, 2)
    columns = (len(labels) - 1) * (steps - 1) + 1
    check_size(generator, columns, rows)
    path = np.linspace(0.0, len(labels) - 1.0, columns)
    weights: np.ndarray = np.zeros((columns, generator.num_classes), np.float32)
    for place, position in enumerate(path):
        begin = min(int(position), len(labels) - 2)
        weights[place, labels[begin]] += 1.0 - (position - begin)
        weights[place, labels[begin + 1]] += position - begin
    blended = blended_generator(generator.network, generator.config, weights)
    latents = latents_of_seeds(_seeds(options, rows), generator.latent_dim, options.threshold()).numpy()
    images = blended.of_latents(
        np.repeat(latents, columns, axis=0), np.tile(np.arange(columns), rows), options.batch_size
    )
    names = [
        generator.class_name(labels[place // (steps - 1)]) if place % (steps - 1) == 0 else ""
        for place in range(columns)
    ]
    return sheet(images, columns, column_names=names)


def _seeds(options: SampleOptions, count: int) -> np.ndarray:
    return options.seed + np.arange(count, dtype=np.int64)
