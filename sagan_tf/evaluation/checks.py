"""What can be known to be wrong with an evaluation before any image is looked at."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sagan_tf.data.sources.source import Source
from sagan_tf.errors import UserError
from sagan_tf.evaluation.metrics import Metric
from sagan_tf.features import tf_gan
from sagan_tf.features.extractors import EXTRACTORS
from sagan_tf.features.statistics import FEATURES, Gathered


def check_names(extractor: str, metrics: Sequence[Metric]) -> None:
    """Raise UserError where a metric's name says that it is of other features than `extractor`'s.

    A folder may be Inception or not: whoever names it decides, and the record has its digest.
    """
    if extractor not in EXTRACTORS:
        return
    for metric in metrics:
        if metric.family.inception not in (None, extractor == "inception"):
            other = "fcd, kcd and classifier_score" if extractor != "inception" else "fid, kid and is"
            hint = "" if extractor != "inception" else "; others need --extractor"
            raise UserError(f"metrics: expected {other} for the extractor {extractor}, received {metric.name}{hint}")


def check_number_of_images(metrics: Sequence[Metric], source: Source) -> None:
    """Raise UserError if a source has less images than a metric is of."""
    for metric in metrics:
        least = metric.size or metric.family.least
        if source.num_examples < least:
            raise UserError(
                f"images: expected at least {least} for {metric.name}, received {source.num_examples} in {source.name}"
            )


def check_reference_counts(metric: Metric, size: int, real: Gathered) -> None:
    """Raise UserError if the reference has too few features to compare `size` images with."""
    family = metric.family
    if FEATURES not in family.needs_of_reference:
        return
    least = metric.size if metric.size and family.equal_sizes else family.least
    if len(real.features) < least:
        raise UserError(f"reference: expected at least {least} for {metric.name}, received {len(real.features)}")
    if family.by_kernel:
        tf_gan.check_kernel_sizes(size, len(real.features))


def reference_size(metric: Metric, size: int, real: Gathered) -> int:
    """How many real images a metric of `size` images compares them with."""
    if FEATURES not in metric.family.needs_of_reference:
        return real.count
    return min(size, len(real.features)) if metric.family.equal_sizes else len(real.features)


def check_counts_by_class(metric: str, whose: str, labels: np.ndarray, class_names: tuple[str, ...]) -> None:
    """Raise UserError unless there are two images of every class: a covariance needs them."""
    counts = np.bincount(labels, minlength=len(class_names))
    few = np.flatnonzero(counts < 2)
    if len(few):
        raise UserError(
            f"{whose}: expected at least 2 images of every class for {metric}, received {counts[few[0]]} of "
            f"{class_names[few[0]]} ({len(few)} of {len(class_names)} classes have too few); take more images, or "
            f"leave {metric} out of --metrics"
        )
