"""Statistics of a set of images that metrics are computed from, accumulated batch by batch in float64."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection
from typing import Any

import numpy as np

MOMENTS, PROBABILITIES, FEATURES, AGREEMENT = "moments", "probabilities", "features", "agreement"
"""Statistics that a metric may require: mean and covariance of the features, mean class probabilities, the features
themselves, and the counts of images whose most likely class is their label."""
IMAGES = "images"
"""The images themselves with their labels, for metrics that train a network on them."""
CLASS_COUNTS = "class_counts"
"""The number of images of each label, which a reference also has, so that labels can be drawn in its proportions."""


class FeatureStatistics:
    """Mean and covariance of features, in memory that does not grow with the number of features.

    Args:
        dimensions: Length of a feature vector.
    """

    def __init__(self, dimensions: int) -> None:
        self.count = 0
        # The sums are of differences from the first feature vector. Otherwise, where the mean is large relative to the
        # deviation, the covariance would be a small difference of large numbers, and that of equal features not 0.
        self._origin: np.ndarray | None = None
        self._sum = np.zeros(dimensions)
        self._sum_of_products = np.zeros((dimensions, dimensions))

    def add(self, features: np.ndarray) -> None:
        """Add features `[n, dimensions]`; n may be 0."""
        if not len(features):
            return
        features = features.astype(np.float64)
        if self._origin is None:
            self._origin = features[0].copy()
        features -= self._origin
        self.count += len(features)
        self._sum += features.sum(0)
        self._sum_of_products += features.T @ features

    @property
    def mean(self) -> np.ndarray:
        """Mean, float64 `[dimensions]`."""
        return self._sum / self.count + (0.0 if self._origin is None else self._origin)

    @property
    def covariance(self) -> np.ndarray:
        """Unbiased covariance (divided by count - 1), float64 `[dimensions, dimensions]`."""
        return (self._sum_of_products - np.outer(self._sum, self._sum / self.count)) / (self.count - 1)


class ProbabilityStatistics:
    """Means of class probabilities for the classifier score: p(y), and sum_y p(y|x) log p(y|x) over images x.

    Args:
        num_classes: Length of a vector of logits.
    """

    def __init__(self, num_classes: int) -> None:
        self.count = 0
        self._sum = np.zeros(num_classes)
        self._negative_entropy = 0.0

    def add(self, logits: np.ndarray) -> None:
        """Add logits `[n, num_classes]`."""
        logits = logits.astype(np.float64)
        logits -= logits.max(1, keepdims=True)
        log_probabilities = logits - np.log(np.exp(logits).sum(1, keepdims=True))
        probabilities = np.exp(log_probabilities)
        self.count += len(logits)
        self._sum += probabilities.sum(0)
        # The limit of p log p for p -> 0 is 0; a probability that is rounded to 0 would give NaN.
        self._negative_entropy += float(np.sum(np.where(probabilities > 0, probabilities * log_probabilities, 0.0)))

    @property
    def mean(self) -> np.ndarray:
        """Mean class probabilities p(y), float64 `[num_classes]`."""
        return self._sum / self.count

    @property
    def mean_negative_entropy(self) -> float:
        """Mean over images of sum_y p(y|x) log p(y|x)."""
        return self._negative_entropy / self.count


@dataclasses.dataclass(frozen=True)
class Moments:
    """Mean float64 `[d]` and unbiased covariance float64 `[d, d]` of `count` feature vectors."""

    count: int = 0
    mean: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros(0))
    covariance: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros((0, 0)))


def compute_moments(features: np.ndarray) -> Moments:
    """Return the moments of features `[n, d]`."""
    statistics = FeatureStatistics(features.shape[1])
    statistics.add(features)
    return Moments(statistics.count, statistics.mean, statistics.covariance)


@dataclasses.dataclass(frozen=True)
class ImageSetStatistics:
    """Statistics of a set of images. Statistics that were not requested are empty.

    Attributes:
        count: Number of images.
        moments: Moments of their features.
        probabilities: Means of their class probabilities.
        features: Features, float32 `[n, d]`: of all images, or of as many as are kept, in random order.
        labels: Labels of `features`, int32 `[n]`.
        compared_counts: Images of each of the extractor's classes whose label was compared, int64 `[at most classes]`.
        agreeing_counts: Those of them whose most likely class is their label, int64 `[at most classes]`.
        class_counts: Images of each label, int64 `[at most classes]`; trailing labels without images are omitted.
        images: Images, uint8 `[n, height, width, channels]`.
        image_labels: Labels of `images`, int32 `[n]`.
    """

    count: int = 0
    moments: Moments = Moments()
    probabilities: ProbabilityStatistics = dataclasses.field(default_factory=lambda: ProbabilityStatistics(0))
    features: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros((0, 0), np.float32))
    labels: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros(0, np.int32))
    compared_counts: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros(0, np.int64))
    agreeing_counts: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros(0, np.int64))
    class_counts: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros(0, np.int64))
    images: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros((0, 0, 0, 0), np.uint8))
    image_labels: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros(0, np.int32))

    @property
    def agreement(self) -> float:
        """Fraction of images whose most likely class is their label, or NaN.

        It is NaN if labels were not compared.
        """
        if not self.compared_counts.size:
            return float("nan")
        return int(self.agreeing_counts.sum()) / int(self.compared_counts.sum())

    @property
    def class_agreement(self) -> np.ndarray:
        """Fraction of each class, float64 `[at most classes]`; NaN without images."""
        return np.where(self.compared_counts > 0, self.agreeing_counts / np.maximum(self.compared_counts, 1), np.nan)


class StatisticsAccumulator:
    """Accumulator of the statistics of the first `max_images` images that are added.

    Args:
        max_images: Number of images; None takes all.
        required: Some of `MOMENTS`, `PROBABILITIES`, `FEATURES`, `AGREEMENT`, `CLASS_COUNTS`, `IMAGES`.
        max_features: Number of feature vectors that are kept for `FEATURES`; None keeps all.
    """

    def __init__(self, max_images: int | None, required: Collection[str], max_features: int | None = None) -> None:
        self.count = 0
        self._max_images = max_images
        self._required = frozenset(required)
        self._max_features = max_features
        self._moments: FeatureStatistics | None = None
        self._probabilities: ProbabilityStatistics | None = None
        self._features: list[np.ndarray] = []
        self._labels: list[np.ndarray] = []
        self._compared_counts: np.ndarray = np.zeros(0, np.int64)
        self._agreeing_counts: np.ndarray = np.zeros(0, np.int64)
        self._class_counts: np.ndarray = np.zeros(0, np.int64)
        self._images: list[np.ndarray] = []
        self._image_labels: list[np.ndarray] = []

    def add(
        self,
        features: np.ndarray,
        logits: np.ndarray,
        labels: np.ndarray,
        classes: np.ndarray | None = None,
        images: np.ndarray | None = None,
    ) -> None:
        """Add a batch; images beyond `max_images` are ignored.

        Args:
            features: `[n, d]`.
            logits: `[n, classes]`.
            labels: `[n]`, kept with the features.
            classes: `[n]`, the index of the logit of each image's label; None if that is the label itself.
            images: uint8 `[n, height, width, channels]`; needed for `IMAGES`.
        """
        count = len(features) if self._max_images is None else min(len(features), self._max_images - self.count)
        if count <= 0:
            return
        classes = labels if classes is None else classes
        features, logits, labels, classes = features[:count], logits[:count], labels[:count], classes[:count]
        self.count += count
        if MOMENTS in self._required:
            self._moments = self._moments or FeatureStatistics(features.shape[1])
            self._moments.add(features)
        if PROBABILITIES in self._required:
            self._probabilities = self._probabilities or ProbabilityStatistics(logits.shape[1])
            self._probabilities.add(logits)
        if FEATURES in self._required:
            self._keep(features, labels)
        if AGREEMENT in self._required:
            self._compared_counts = _add_counts(self._compared_counts, classes)
            agreeing = classes[logits.argmax(1) == classes]
            self._agreeing_counts = _add_counts(self._agreeing_counts, agreeing, len(self._compared_counts))
        if CLASS_COUNTS in self._required:
            self._class_counts = _add_counts(self._class_counts, labels)
        if IMAGES in self._required and images is not None:
            self._images.append(images[:count])
            self._image_labels.append(labels.astype(np.int32))

    def _keep(self, features: np.ndarray, labels: np.ndarray) -> None:
        """Keep features and their labels, up to `max_features`."""
        num_kept = sum(map(len, self._features))
        free = len(features) if self._max_features is None else max(self._max_features - num_kept, 0)
        self._features.append(features[:free].astype(np.float32))
        self._labels.append(labels[:free].astype(np.int32))

    def result(self) -> ImageSetStatistics:
        """Return the statistics of the images so far."""
        found: dict[str, Any] = {}
        if self._moments is not None:
            found["moments"] = Moments(self._moments.count, self._moments.mean, self._moments.covariance)
        if self._probabilities is not None:
            found["probabilities"] = self._probabilities
        if self._features:
            found |= {"features": np.concatenate(self._features), "labels": np.concatenate(self._labels)}
        if AGREEMENT in self._required:
            found |= {"compared_counts": self._compared_counts, "agreeing_counts": self._agreeing_counts}
        if self._images:
            found |= {"images": np.concatenate(self._images), "image_labels": np.concatenate(self._image_labels)}
        return ImageSetStatistics(self.count, class_counts=self._class_counts, **found)


def _add_counts(counts: np.ndarray, labels: np.ndarray, min_length: int = 0) -> np.ndarray:
    """Add labels to class counts; return at least `min_length` counts."""
    added = np.bincount(labels, minlength=max(len(counts), min_length))
    added[: len(counts)] += counts
    return added
