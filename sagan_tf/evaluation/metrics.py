"""Metrics by name. A name is a protocol: it fixes features, number of images and formula.

`fid50k` is the family `fid` of the first 50 thousand images; without a number, a metric is of all given images. Values
of metrics with different names cannot be compared.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from sagan_tf.config.metric_names import split_metric_name
from sagan_tf.errors import UserError
from sagan_tf.evaluation.class_values import (
    MIN_CLASS_IMAGES,
    compute_class_agreement,
    compute_class_precision_recall,
)
from sagan_tf.evaluation.classification_accuracy import compute_classification_accuracy, describe_classifier
from sagan_tf.evaluation.metric_family import MetricFamily, Value
from sagan_tf.features import distances, tf_gan
from sagan_tf.features.authenticity import compute_authenticity
from sagan_tf.features.statistics import AGREEMENT, FEATURES, IMAGES, MOMENTS, PROBABILITIES, ImageSetStatistics

_DENSITY_NEIGHBORS = 5


def _compute_frechet_distance(images: ImageSetStatistics, reference: ImageSetStatistics) -> Value:
    return distances.compute_frechet_distance(images.moments, reference.moments)


def _compute_classifier_score(images: ImageSetStatistics, reference: ImageSetStatistics) -> Value:
    return distances.compute_classifier_score(images.probabilities)


def _compute_kernel_distance(images: ImageSetStatistics, reference: ImageSetStatistics) -> Value:
    distance, error = tf_gan.compute_kernel_distance(images.features, reference.features)
    return {"value": distance} if math.isnan(error) else {"value": distance, "standard_error": error}


def _compute_precision_recall(images: ImageSetStatistics, reference: ImageSetStatistics) -> Value:
    precision, recall = distances.compute_precision_and_recall(*_cut_to_equal_sizes(images, reference))
    return {"precision": precision, "recall": recall}


def _compute_density_coverage(images: ImageSetStatistics, reference: ImageSetStatistics) -> Value:
    fake, real = _cut_to_equal_sizes(images, reference)
    density, coverage = distances.compute_density_and_coverage(fake, real, _DENSITY_NEIGHBORS)
    return {"density": density, "coverage": coverage}


def _cut_to_equal_sizes(images: ImageSetStatistics, reference: ImageSetStatistics) -> tuple[np.ndarray, np.ndarray]:
    """Return equally many features of both sets.

    The balls around features get smaller as a set gets larger.
    """
    count = min(len(images.features), len(reference.features))
    return images.features[:count], reference.features[:count]


def _compute_class_distance(images: ImageSetStatistics, reference: ImageSetStatistics) -> Value:
    return distances.compute_mean_class_distance(images.features, images.labels, reference.features, reference.labels)


def _compute_authenticity(
    images: ImageSetStatistics, reference: ImageSetStatistics, held_out: ImageSetStatistics
) -> Value:
    return compute_authenticity(images.features, reference.features, held_out.features)


def _get_agreement(images: ImageSetStatistics, reference: ImageSetStatistics) -> Value:
    return images.agreement


_FRECHET_DISTANCE = MetricFamily(
    compute=_compute_frechet_distance,
    required=(MOMENTS,),
    has_reference=True,
    lower_is_better=True,
    protocol="Frechet distance of mean and unbiased covariance, float64",
)
_CLASSIFIER_SCORE = MetricFamily(
    compute=_compute_classifier_score,
    required=(PROBABILITIES,),
    lower_is_better=False,
    protocol="exp(E KL(p(y|x) || p(y))), one split",
)
_KERNEL_DISTANCE = MetricFamily(
    compute=_compute_kernel_distance,
    required=(FEATURES,),
    has_reference=True,
    lower_is_better=True,
    protocol="block estimator of the polynomial kernel's distance, blocks of at most 1,024 of the larger set",
    is_kernel_distance=True,
)
_CLASS_DISTANCE = MetricFamily(
    compute=_compute_class_distance,
    required=(FEATURES,),
    has_reference=True,
    lower_is_better=True,
    protocol="mean over classes of the Frechet distance within a class",
    is_per_class=True,
)

METRICS: dict[str, MetricFamily] = {
    "fid": dataclasses.replace(_FRECHET_DISTANCE, uses_inception=True),
    "is": dataclasses.replace(_CLASSIFIER_SCORE, uses_inception=True),
    "kid": dataclasses.replace(_KERNEL_DISTANCE, uses_inception=True),
    "intra_fid": dataclasses.replace(_CLASS_DISTANCE, uses_inception=True),
    "fcd": dataclasses.replace(_FRECHET_DISTANCE, uses_inception=False),
    "classifier_score": dataclasses.replace(_CLASSIFIER_SCORE, uses_inception=False),
    "kcd": dataclasses.replace(_KERNEL_DISTANCE, uses_inception=False),
    "intra_fcd": dataclasses.replace(_CLASS_DISTANCE, uses_inception=False),
    "precision_recall": MetricFamily(
        compute=_compute_precision_recall,
        required=(FEATURES,),
        has_reference=True,
        lower_is_better=False,
        protocol="improved precision and recall, k = 3",
        min_images=4,
        has_equal_sizes=True,
    ),
    "density_coverage": MetricFamily(
        compute=_compute_density_coverage,
        required=(FEATURES,),
        has_reference=True,
        lower_is_better=False,
        protocol="density and coverage, k = 5",
        min_images=6,
        has_equal_sizes=True,
    ),
    "label_agreement": MetricFamily(
        compute=_get_agreement,
        required=(AGREEMENT,),
        lower_is_better=False,
        protocol="fraction whose likeliest class is the label asked for",
        min_images=1,
    ),
    "class_agreement": MetricFamily(
        compute=compute_class_agreement,
        required=(AGREEMENT,),
        lower_is_better=False,
        protocol="label_agreement within each class that has images: mean and least over these classes",
        min_images=1,
    ),
    "class_precision_recall": MetricFamily(
        compute=compute_class_precision_recall,
        required=(FEATURES,),
        has_reference=True,
        lower_is_better=False,
        protocol=f"improved precision and recall within each class of {MIN_CLASS_IMAGES} images or more, k = 3: mean "
        "over these classes, and least recall; only values of equally many images of a class can be compared",
        min_images=MIN_CLASS_IMAGES,
        is_per_class=True,
        min_class_images=MIN_CLASS_IMAGES,
        omits_small_classes=True,
    ),
    "authenticity": MetricFamily(
        compute=_compute_authenticity,
        required=(FEATURES,),
        has_reference=True,
        has_held_out=True,
        lower_is_better=None,  # the value of held-out images is the one to compare with
        protocol="AuthPct: fraction farther from its nearest reference image than that image from the nearest "
        "different one; the same of held-out images; fraction relatively nearer than 99 % of the held-out images",
        min_images=1,
    ),
    "classification_accuracy_score": MetricFamily(
        compute=compute_classification_accuracy,
        required=(IMAGES,),
        has_reference=True,
        has_held_out=True,
        lower_is_better=False,
        protocol=describe_classifier(),
        is_per_class=True,
        has_equal_sizes=True,
    ),
}
"""Families by name."""


@dataclasses.dataclass(frozen=True)
class Metric:
    """A family with a number of images.

    Attributes:
        name: The name that was given, such as `fid50k`.
        family: The family.
        num_images: Number of images; None for all given images.
    """

    name: str
    family: MetricFamily
    num_images: int | None


def find_metrics(names: Sequence[str]) -> list[Metric]:
    """Return the metrics with the given names, each once.

    Raises:
        UserError: A name is not that of a metric, or there are no names.
    """
    if not names:
        raise UserError(f"metrics: expected names such as fid50k, of the families {', '.join(METRICS)}, received none")
    return [_find_metric(name) for name in dict.fromkeys(names)]


def _find_metric(name: str) -> Metric:
    family, num_images = split_metric_name(name)
    if family not in METRICS:
        raise UserError(
            f"metrics: expected one of {', '.join(METRICS)}, alone or with a number of thousands such as fid50k, "
            f"received {name!r}"
        )
    return Metric(name, METRICS[family], num_images)


def has_reference_metric(metrics: Sequence[Metric]) -> bool:
    """Return whether any of the metrics compares with a reference."""
    return any(metric.family.has_reference for metric in metrics)
