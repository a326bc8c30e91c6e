"""Real images that metrics compare with: the reference, and held-out images that were not trained on."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Sequence
from typing import Any

import numpy as np

from sagan_tf.class_labels import find_class_indices
from sagan_tf.data.image_sets import open_images
from sagan_tf.data.pipeline import make_single_pass_dataset
from sagan_tf.data.sources.source import Source
from sagan_tf.errors import UserError
from sagan_tf.evaluation.checks import require_reference
from sagan_tf.evaluation.metrics import Metric
from sagan_tf.evaluation.reference import MAX_FEATURES, Provenance, Reference
from sagan_tf.evaluation.reference_store import describe_images, find_reference
from sagan_tf.features.extraction import Extraction
from sagan_tf.features.statistics import IMAGES, ImageSetStatistics
from sagan_tf.progress import progress_bar

_logger = logging.getLogger("sagan_tf")
_BATCH_SIZE = 100


def find_reference_images(
    text: str,
    source: Source | None,
    extraction: Extraction,
    directory: str,
    metrics: Sequence[Metric],
    num_samples: int,
) -> Reference:
    """Return the reference with everything that the metrics require: statistics, images or both.

    Args:
        text: The option `reference`, for records; a path that ends in .npz is read.
        source: The opened images; None for a file.
        extraction: Runs the extractor.
        directory: Directory of stored references; empty for the user's cache.
        metrics: All metrics of the evaluation.
        num_samples: Number of images for metrics without a number in their name.

    Raises:
        UserError: See `find_reference`; or a metric requires images, and `text` is a file of statistics.
    """
    metrics = [metric for metric in metrics if metric.family.has_reference]
    numbers = [metric.num_images or num_samples for metric in metrics if IMAGES in metric.family.required]
    # Without a metric that compares, only the proportions of the classes are needed, which statistics also have.
    has_statistics = not metrics or any(metric.family.uses_extractor for metric in metrics)
    return _find_images("reference", text, source, extraction, directory, has_statistics, max(numbers, default=0))


def open_held_out(metrics: Sequence[Metric], text: str, **options: str | int) -> Source | None:
    """Open the held-out images; return None if no metric requires them.

    Args:
        metrics: All metrics of the evaluation.
        text: The option `held_out`.
        **options: Arguments of `open_images`.

    Raises:
        UserError: A metric requires held-out images and the option is empty, or they cannot be opened.
    """
    names = [metric.name for metric in metrics if metric.family.has_held_out]
    if not names:
        return None
    if not text:
        raise UserError(
            f"held_out: expected DATASET:SPLIT or a directory of real images that were not trained on, for {names[0]}, "
            "received none; pass --held_out"
        )
    return open_images("held_out", text, **options)  # type: ignore[arg-type]


def find_held_out_images(
    text: str,
    source: Source | None,
    extraction: Extraction,
    directory: str,
    metrics: Sequence[Metric],
    reference: Reference | None,
) -> Reference | None:
    """Return the held-out images with everything that the metrics require; None if no metric requires them.

    Labels become those of the reference's classes.

    Args:
        text: The option `held_out`, for records.
        source: The result of `open_held_out`.
        extraction: Runs the extractor.
        directory: Directory of stored references; empty for the user's cache.
        metrics: All metrics of the evaluation.
        reference: The reference.

    Raises:
        UserError: The held-out images are the reference, or have a class that the reference does not have.
    """
    if source is None:
        return None
    indices = check_held_out(text, source, metrics, require_reference(reference).provenance)
    metrics = [metric for metric in metrics if metric.family.has_held_out]
    has_statistics = any(metric.family.uses_extractor for metric in metrics)
    count = 0 if indices is None else min(source.num_examples, MAX_FEATURES)
    found = _find_images("held_out", text, source, extraction, directory, has_statistics, count)
    if indices is None:
        return found
    labels = indices[found.statistics.image_labels]
    return dataclasses.replace(found, statistics=dataclasses.replace(found.statistics, image_labels=labels))


def check_held_out(
    text: str, source: Source | None, metrics: Sequence[Metric], provenance: Provenance
) -> np.ndarray | None:
    """Compare held-out images with the reference, which need not have been computed.

    Args:
        text: The option `held_out`, for messages.
        source: The result of `open_held_out`.
        metrics: All metrics of the evaluation.
        provenance: The provenance of the reference.

    Returns:
        The reference's index of each class of the held-out images; None if no metric requires their labels.

    Raises:
        UserError: The held-out images are the reference, or have a class that the reference does not have.
    """
    if source is None:
        return None
    if source.digest() == provenance.fingerprint:
        raise UserError(
            f"held_out: expected images other than the reference {provenance.images}, which are the training images, "
            f"received {text}; pass the training images as --reference and other real images as --held_out"
        )
    classifying = [metric for metric in metrics if metric.family.has_held_out and IMAGES in metric.family.required]
    if not classifying:
        return None
    names = source.class_names, provenance.class_names
    return find_class_indices(classifying[0].name, *names, f"the reference {provenance.images}")


def compare_with_training_images(
    metrics: Sequence[Metric], trained_on: str, source: Source | None, reference: Reference | None
) -> dict[str, Any]:
    """Warn if a metric with held-out images compares with other images than those a run was trained on.

    Args:
        metrics: All metrics of the evaluation.
        trained_on: The name of the training images.
        source: The training images; None if they cannot be opened, so that names are compared.
        reference: The reference.

    Returns:
        The record entry `training_images`, with their name and whether they are the reference; nothing without a metric
        with held-out images.
    """
    names = [metric.name for metric in metrics if metric.family.has_held_out]
    if not names:
        return {}
    found = require_reference(reference).provenance
    is_reference = found.images == trained_on if source is None else found.fingerprint == source.digest()
    if not is_reference:
        _logger.warning(
            "reference: %s compares with the images that the run was trained on, %s, but the reference is %s; pass "
            "the training images as --reference",
            names[0],
            trained_on,
            found.images,
        )
    return {"training_images": {"images": trained_on, "are_reference": is_reference}}


def _find_images(
    flag: str,
    text: str,
    source: Source | None,
    extraction: Extraction,
    directory: str,
    has_statistics: bool,
    num_images: int,
) -> Reference:
    """Return the statistics of all images, if wanted, and the first `num_images` images."""
    if not num_images:
        return find_reference(text, source, extraction, directory, flag)
    if source is None:
        raise UserError(
            f"{flag}: expected DATASET:SPLIT or a directory for a metric that needs the images themselves, received "
            f"{text}, which has statistics only"
        )
    images, labels = _read_images(source, min(num_images, MAX_FEATURES), flag)
    if has_statistics:
        found = find_reference(text, source, extraction, directory, flag)
    else:
        num_readable = source.num_examples - source.skipped.count
        statistics = ImageSetStatistics(num_readable, class_counts=source.class_counts)
        provenance = describe_images(text, source, extraction.extractor)
        found = Reference(provenance, statistics, source.skipped.names)
    statistics = dataclasses.replace(found.statistics, images=images, image_labels=labels)
    return dataclasses.replace(found, statistics=statistics)


def _read_images(source: Source, count: int, description: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the first images and labels of a source, in its fixed random order."""
    batches = []
    remaining = min(count, source.num_examples)
    with source.skipped.raise_user_errors(), progress_bar(remaining, unit="image", description=description) as bar:
        for batch in make_single_pass_dataset(source, batch_size=_BATCH_SIZE).as_numpy_iterator():
            batches.append((batch["images"][:remaining], batch["labels"][:remaining]))
            bar.update(len(batches[-1][1]))
            remaining -= len(batches[-1][1])
            if not remaining:
                break
    images, labels = zip(*batches, strict=True)
    return np.concatenate(images), np.concatenate(labels)
