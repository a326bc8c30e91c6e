"""Checks of metrics, images and references that need no features of the evaluated images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from sagan_tf.class_labels import check_every_class_has_images, find_class_indices
from sagan_tf.data.sources.source import Source
from sagan_tf.errors import UserError
from sagan_tf.evaluation.metrics import METRICS, Metric
from sagan_tf.evaluation.reference import Provenance, Reference
from sagan_tf.features import tf_gan
from sagan_tf.features.extractor import Extractor
from sagan_tf.features.extractors import EXTRACTORS
from sagan_tf.features.statistics import AGREEMENT, FEATURES, IMAGES, ImageSetStatistics


class ClassIndices(NamedTuple):
    """Class indices of the images' labels in the reference and the extractor; None where they are not compared."""

    in_reference: np.ndarray | None
    in_extractor: np.ndarray | None


class ImageProperties(NamedTuple):
    """Properties of the images to evaluate that metrics, extractor and reference must match.

    Attributes:
        class_names: Names of the classes of the labels; empty without labels.
        resolution: Height and width of the images.
        image_channels: Channels of the images.
    """

    class_names: tuple[str, ...]
    resolution: int
    image_channels: int


def check_evaluation(
    metrics: Sequence[tuple[Metric, int]], images: ImageProperties, extractor: Extractor, reference: Reference | None
) -> ClassIndices:
    """Check everything that can be checked before an image is read or generated.

    Args:
        metrics: Metrics with their numbers of images.
        images: Properties of the images to evaluate.
        extractor: The extractor of the features.
        reference: The reference; None if no metric needs one.

    Raises:
        UserError: A metric has too few images, or classes, size or channels of images, extractor and reference differ.
    """
    extractor.check_channels(images.image_channels)
    in_reference = in_extractor = None
    for metric, num_images in metrics:
        family = metric.family
        if num_images < family.min_images:
            raise UserError(f"images: expected at least {family.min_images} for {metric.name}, received {num_images}")
        if AGREEMENT in family.required:
            owner = f"extractor {extractor.name}"
            in_extractor = find_class_indices(metric.name, images.class_names, extractor.class_names, owner)
        if family.required_of_reference:
            required = require_reference(reference)
            _check_reference_images(images, required.provenance)
            check_reference_size(metric, num_images, required.statistics)
        if family.is_per_class:
            in_reference = _find_reference_classes(metric, images.class_names, require_reference(reference))
    return ClassIndices(in_reference, in_extractor)


def require_reference(reference: Reference | None) -> Reference:
    """Return the reference; raise UserError if it was not given."""
    if reference is None:
        raise UserError("reference: expected DATASET:SPLIT, a directory of images or an .npz file, received none")
    return reference


def check_reference_extractor(reference: Reference, extractor: Extractor) -> None:
    """Raise UserError if a reference has the features of another extractor."""
    expected, received = extractor.identifier, reference.provenance.extractor
    if received != expected:
        raise UserError(f"reference: expected features of extractor {expected}, received those of {received}")


def _check_reference_images(images: ImageProperties, provenance: Provenance) -> None:
    """Raise UserError if reference images have another size or other channels."""
    if (provenance.resolution, provenance.image_channels) != (images.resolution, images.image_channels):
        raise UserError(
            f"reference: expected images of {images.resolution} px and {images.image_channels} channels, like the "
            f"images to evaluate, received {provenance.resolution} px and {provenance.image_channels} channels "
            f"({provenance.images})"
        )


def _find_reference_classes(metric: Metric, class_names: tuple[str, ...], reference: Reference) -> np.ndarray:
    """Return the reference's index of each class.

    Raises:
        UserError: Classes differ, or the reference has too few images of a class.
    """
    reference_class_names = reference.provenance.class_names
    indices = find_class_indices(metric.name, class_names, reference_class_names, "the reference")
    if not metric.family.omits_small_classes:
        check_every_class_has_images(metric.name, indices, reference_class_names)
    check_class_counts(metric, "reference", metric.family.get_labels(reference.statistics), reference_class_names)
    return indices


def check_metrics_match_extractor(extractor: str, metrics: Sequence[Metric]) -> None:
    """Raise UserError if a metric is defined for features of another extractor.

    The directory of a SavedModel is not checked: it may be Inception or not, and the record has its digest.
    """
    if extractor not in EXTRACTORS:
        return
    is_inception = extractor == "inception"
    allowed = ", ".join(name for name, family in METRICS.items() if family.uses_inception in (None, is_inception))
    for metric in metrics:
        if metric.family.uses_inception not in (None, is_inception):
            needed = "another --extractor" if is_inception else "--extractor=inception"
            raise UserError(
                f"metrics: expected metrics of the families {allowed} for --extractor={extractor}, received "
                f"{metric.name}, which needs {needed}"
            )


def check_training_metrics(metrics: Sequence[Metric], num_workers: int) -> None:
    """Raise UserError for metrics that an evaluation during training cannot have.

    Args:
        metrics: The metrics, of which the first one chooses the best checkpoint.
        num_workers: Number of workers that train.
    """
    first = metrics[0]
    if first.family.lower_is_better is None:
        raise UserError(
            f"metrics: expected first a metric whose best value is the highest or the lowest, which chooses the best "
            f"checkpoint, received {first.name}; put another metric before it"
        )
    for metric in metrics:
        if num_workers > 1 and IMAGES in metric.family.required:
            raise UserError(
                f"metrics: {metric.name} trains classifiers, which every worker would repeat; during training with "
                f"{num_workers} workers, leave it out of --metrics, and compute it later with sagan_tf.evaluate"
            )


def check_num_images(metrics: Sequence[Metric], source: Source) -> None:
    """Raise UserError if a source has fewer images than a metric needs."""
    for metric in metrics:
        min_images = metric.num_images or metric.family.min_images
        if source.num_examples < min_images:
            raise UserError(
                f"images: expected at least {min_images} for {metric.name}, received {source.num_examples} in "
                f"{source.name}"
            )


def check_reference_size(metric: Metric, num_images: int, reference: ImageSetStatistics) -> None:
    """Raise UserError if the reference has too few features to compare images with.

    Args:
        metric: The metric.
        num_images: Number of images to compare.
        reference: Statistics of the reference.
    """
    family = metric.family
    num_kept = _count_kept_images(metric, reference)
    if num_kept is None:
        return
    min_images = metric.num_images if metric.num_images and family.has_equal_sizes else family.min_images
    if num_kept < min_images:
        raise UserError(f"reference: expected at least {min_images} images for {metric.name}, received {num_kept}")
    if family.is_kernel_distance:
        tf_gan.check_kernel_sizes(num_images, num_kept)


def count_reference_images(metric: Metric, num_images: int, reference: ImageSetStatistics) -> int:
    """Return the number of reference images that a metric of `num_images` images uses."""
    num_kept = _count_kept_images(metric, reference)
    if num_kept is None:
        return reference.count
    return min(num_images, num_kept) if metric.family.has_equal_sizes else num_kept


def _count_kept_images(metric: Metric, reference: ImageSetStatistics) -> int | None:
    """Return the number of single features or images that a metric can use; None if it uses moments of all images."""
    required = metric.family.required_of_reference
    if IMAGES in required:
        return len(reference.images)
    return len(reference.features) if FEATURES in required else None


def check_class_counts(metric: Metric, subject: str, labels: np.ndarray, class_names: tuple[str, ...]) -> None:
    """Raise UserError unless there are enough images of every class, or of one class if small ones are omitted.

    Args:
        metric: The metric, which says how many images are enough. A covariance within a class needs two.
        subject: The images that have these labels, for messages.
        labels: Labels of the images, int `[n]`.
        class_names: Names of all classes.
    """
    counts = np.bincount(labels, minlength=len(class_names))
    family, name = metric.family, metric.name
    few = np.flatnonzero(counts < family.min_class_images)
    if len(few) > (len(counts) - 1 if family.omits_small_classes else 0):
        classes = "one class" if family.omits_small_classes else "every class"
        raise UserError(
            f"{subject}: expected at least {family.min_class_images} images of {classes} for {name}, received "
            f"{counts[few[0]]} of {class_names[few[0]]} ({len(few)} of {len(class_names)} classes have too few); use "
            f"more images, or leave {name} out of --metrics"
        )
