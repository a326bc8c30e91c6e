"""Sheets of images: by class, all classes, interpolations and truncations."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from PIL import Image

from sagan_tf.class_labels import find_labels
from sagan_tf.errors import UserError
from sagan_tf.generation.generators import Generator
from sagan_tf.generation.latents import draw_latents_from_seeds, select_evenly_spaced_classes
from sagan_tf.sampling.class_blends import blend_classes
from sagan_tf.sampling.options import SampleOptions
from sagan_tf.serving.contract import NO_TRUNCATION
from sagan_tf.visualization.image_grid import MIN_TILE_HEIGHT_PX, draw_image_sheet, is_sheet_size_allowed

MIN_CAPTIONED_TILE_HEIGHT_PX = 96
"""Images with captions of a smaller height are enlarged by a whole factor to at least this height."""
_MAX_CLASS_ROWS = 10
_NUM_ROWS, _NUM_ROWS_BETWEEN_CLASSES = 8, 4
_NUM_COLUMNS = 8
_NUM_INTERPOLATED_CLASSES = 3
_TRUNCATIONS = (math.inf, 2.0, 1.5, 1.0, 0.75, 0.5, 0.25, 0.0)


def make_grid(generator: Generator, options: SampleOptions) -> Image.Image:
    """Make a sheet with one row per class and the same seeds in every row.

    Without classes, the sheet has as many rows as columns, and all seeds differ.

    Args:
        generator: The generator.
        options: Options of the command.

    Returns:
        The sheet.

    Raises:
        UserError: The options do not fit the generator, or the sheet is too large.
    """
    labels, columns = select_labels(generator, options), options.columns or _NUM_COLUMNS
    if generator.num_classes:
        rows, seeds = labels, np.tile(_make_seeds(options, columns), len(labels))
    else:
        rows = [0] * (options.num_samples or columns)
        seeds = _make_seeds(options, len(rows) * columns)
    check_sheet_size(generator, columns, len(rows))
    images = generator.images_from_seeds(seeds, np.repeat(rows, columns), options.get_threshold(), options.batch_size)
    return draw_image_sheet(images, columns, row_names=get_class_names(generator, labels))


def make_class_sheet(generator: Generator, options: SampleOptions) -> Image.Image:
    """Make a sheet with one image of each class, all of the same seed.

    Args:
        generator: The generator.
        options: Options of the command.

    Returns:
        The sheet.

    Raises:
        UserError: The generator has no classes, or the sheet is too large.
    """
    if not generator.num_classes:
        raise UserError("mode: --mode=classes needs a generator with classes, and this generator has none")
    labels = find_labels(options.labels, generator.num_classes, generator.class_names)
    columns = min(options.columns or math.ceil(math.sqrt(2 * len(labels))), len(labels))
    rows = math.ceil(len(labels) / columns)
    check_sheet_size(generator, columns, rows, MIN_CAPTIONED_TILE_HEIGHT_PX)
    seeds = np.full(len(labels), options.seed)
    images = generator.images_from_seeds(seeds, np.array(labels), options.get_threshold(), options.batch_size)
    empty: np.ndarray = np.full((columns * rows - len(labels), *generator.shape), 255, np.uint8)
    captions = [generator.get_class_name(label) for label in labels] + [""] * len(empty)
    return draw_image_sheet(
        np.concatenate([images, empty]), columns, captions=captions, min_tile_height=MIN_CAPTIONED_TILE_HEIGHT_PX
    )


def make_interpolation_sheet(generator: Generator, options: SampleOptions) -> Image.Image:
    """Make a sheet with one interpolation per row.

    A row interpolates between two seeds of one class, or between classes with one seed.

    Args:
        generator: The generator.
        options: Options of the command.

    Returns:
        The sheet.

    Raises:
        UserError: The options do not fit the generator, or the sheet is too large.
    """
    if options.between == "classes":
        return _make_class_interpolation_sheet(generator, options)
    labels, columns = select_labels(generator, options), options.columns or _NUM_COLUMNS
    rows = labels or [0] * (options.num_samples or _NUM_ROWS)
    check_sheet_size(generator, columns, len(rows))
    # With classes, all rows have the same two seeds, so that they differ only by class. Otherwise all seeds differ.
    starts: np.ndarray = options.seed + (np.zeros(len(rows), np.int64) if labels else 2 * np.arange(len(rows)))
    first, last = (
        draw_latents_from_seeds(seeds, generator.latent_dim, options.get_threshold()).numpy()
        for seeds in (starts, starts + 1)
    )
    latents = [interpolate_spherically(*ends, columns) for ends in zip(first, last, strict=True)]
    images = generator.images_from_latents(np.concatenate(latents), np.repeat(rows, columns), options.batch_size)
    return draw_image_sheet(images, columns, row_names=get_class_names(generator, labels))


def make_truncation_sheet(generator: Generator, options: SampleOptions) -> Image.Image:
    """Make a sheet with one row per class, which has one seed at several truncations.

    Args:
        generator: The generator.
        options: Options of the command.

    Returns:
        The sheet.

    Raises:
        UserError: The options do not fit the generator, or the sheet is too large.
    """
    thresholds = options.truncations or _TRUNCATIONS
    labels = select_labels(generator, options)
    rows = labels or [0] * (options.num_samples or _NUM_ROWS)
    check_sheet_size(generator, len(thresholds), len(rows))
    seeds: np.ndarray = options.seed + (np.zeros(len(rows), np.int64) if labels else np.arange(len(rows)))
    images = generator.images_from_seeds(
        np.repeat(seeds, len(thresholds)),
        np.repeat(rows, len(thresholds)),
        np.tile(thresholds, len(rows)),
        options.batch_size,
    )
    names = ["none" if value >= NO_TRUNCATION else f"{value:g}" for value in thresholds]
    return draw_image_sheet(images, len(thresholds), row_names=get_class_names(generator, labels), column_names=names)


def interpolate_spherically(start: np.ndarray, end: np.ndarray, steps: int) -> np.ndarray:
    """Interpolate between two latents on a great circle (Shoemake's slerp).

    The length changes linearly. On a straight line, the middle would be shorter than any latent of training.

    Args:
        start: First latent, [latent_dim].
        end: Last latent, [latent_dim].
        steps: Number of latents, including both ends; 1 returns only the start.

    Returns:
        Latents, float32 [steps, latent_dim].
    """
    first, last = np.linalg.norm(start), np.linalg.norm(end)
    fractions = np.linspace(0.0, 1.0, steps)[:, np.newaxis]
    angle = math.acos(float(np.clip(start @ end / max(first * last, 1e-12), -1.0, 1.0)))
    # Directions that are nearly equal, opposite (without a unique great circle) or undefined (truncation 0).
    if math.sin(angle) < 1e-4 or min(first, last) < 1e-6:
        return ((1.0 - fractions) * start + fractions * end).astype(np.float32)
    start_parts = np.sin((1.0 - fractions) * angle) * start / first
    end_parts = np.sin(fractions * angle) * end / last
    directions = (start_parts + end_parts) / math.sin(angle)
    return (directions * ((1.0 - fractions) * first + fractions * last)).astype(np.float32)


def select_labels(generator: Generator, options: SampleOptions) -> list[int]:
    """Select the labels of the rows.

    Args:
        generator: The generator.
        options: Options of the command.

    Returns:
        The labels of `--labels`, or evenly spaced labels; empty for a generator without classes.

    Raises:
        UserError: A label of `--labels` does not exist.
    """
    if options.labels or not generator.num_classes:
        labels = find_labels(options.labels, generator.num_classes, generator.class_names)
        return labels if generator.num_classes else []
    return select_evenly_spaced_classes(generator.num_classes, options.num_samples or _MAX_CLASS_ROWS)


def get_class_names(generator: Generator, labels: Sequence[int]) -> list[str]:
    """Return the names of classes."""
    return [generator.get_class_name(label) for label in labels]


def check_sheet_size(generator: Generator, columns: int, rows: int, min_tile_height: int = MIN_TILE_HEIGHT_PX) -> None:
    """Check that image viewers can open a sheet.

    Args:
        generator: The generator of the images.
        columns: Number of columns.
        rows: Number of rows.
        min_tile_height: Images are enlarged by a whole factor to at least this height in pixels.

    Raises:
        UserError: The sheet is too large.
    """
    if not is_sheet_size_allowed(columns, rows, max(generator.shape[:2]), min_tile_height):
        raise UserError(
            f"output: a sheet of {columns} x {rows} images of {generator.shape[0]} px is too large for image viewers; "
            "ask for fewer images, or pass --mode=images"
        )


def _make_class_interpolation_sheet(generator: Generator, options: SampleOptions) -> Image.Image:
    labels = find_labels(options.labels, generator.num_classes, generator.class_names)
    labels = labels if options.labels else labels[:_NUM_INTERPOLATED_CLASSES]
    if len(labels) < 2:
        raise UserError(f"labels: expected at least 2 classes for --between=classes, received {len(labels)}")
    if generator.network is None or generator.config is None:
        raise UserError("saved_model: --between=classes needs --run_dir instead of an exported model")
    rows, steps = options.num_samples or _NUM_ROWS_BETWEEN_CLASSES, max(options.columns or _NUM_COLUMNS, 2)
    columns = (len(labels) - 1) * (steps - 1) + 1
    check_sheet_size(generator, columns, rows)
    path = np.linspace(0.0, len(labels) - 1.0, columns)
    weights: np.ndarray = np.zeros((columns, generator.num_classes), np.float32)
    for column, position in enumerate(path):
        first = min(int(position), len(labels) - 2)
        weights[column, labels[first]] += 1.0 - (position - first)
        weights[column, labels[first + 1]] += position - first
    blended = blend_classes(generator.network, generator.config, weights)
    latents = draw_latents_from_seeds(_make_seeds(options, rows), generator.latent_dim, options.get_threshold()).numpy()
    images = blended.images_from_latents(
        np.repeat(latents, columns, axis=0), np.tile(np.arange(columns), rows), options.batch_size
    )
    names = [
        generator.get_class_name(labels[column // (steps - 1)]) if column % (steps - 1) == 0 else ""
        for column in range(columns)
    ]
    return draw_image_sheet(images, columns, column_names=names)


def _make_seeds(options: SampleOptions, count: int) -> np.ndarray:
    return options.seed + np.arange(count, dtype=np.int64)
