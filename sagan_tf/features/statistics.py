"""What metrics need to know of a set of images, gathered batch by batch in float64."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection
from typing import Any

import numpy as np

STATISTICS, PROBABILITIES, FEATURES, AGREEMENT = "statistics", "probabilities", "features", "agreement"
"""What a metric may need of a set: mean and covariance, class probabilities, all features, labels that agree."""
CLASS_COUNTS = "class_counts"
"""What a reference has beside them, for drawing labels."""


class FeatureStatistics:
    """Mean and covariance of features, in memory that does not grow with their number.

    Args:
        dimensions: length of a feature vector.
    """

    def __init__(self, dimensions: int) -> None:
        self.count = 0
        # Sums are of differences from the first features: where the mean is large beside the deviation, the covariance
        # would otherwise be a small difference of large numbers, and that of equal features not 0.
        self._origin: np.ndarray | None = None
        self._sum = np.zeros(dimensions)
        self._sum_of_products = np.zeros((dimensions, dimensions))

    def add(self, features: np.ndarray) -> None:
        """Add features [n, dimensions]; n may be 0."""
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
        """float64 [dimensions]."""
        return self._sum / self.count + (0.0 if self._origin is None else self._origin)

    @property
    def covariance(self) -> np.ndarray:
        """The unbiased estimate (divided by count - 1), float64 [dimensions, dimensions]."""
        return (self._sum_of_products - np.outer(self._sum, self._sum / self.count)) / (self.count - 1)


class ProbabilityStatistics:
    """What the classifier score needs of class probabilities: their mean p(y), and the mean of sum_y p(y|x) log p(y|x).

    Args:
        num_classes: length of a vector of logits.
    """

    def __init__(self, num_classes: int) -> None:
        self.count = 0
        self._sum = np.zeros(num_classes)
        self._negative_entropy = 0.0

    def add(self, logits: np.ndarray) -> None:
        """Add logits [n, num_classes]."""
        logits = logits.astype(np.float64)
        logits -= logits.max(1, keepdims=True)
        log_probabilities = logits - np.log(np.exp(logits).sum(1, keepdims=True))
        probabilities = np.exp(log_probabilities)
        self.count += len(logits)
        self._sum += probabilities.sum(0)
        # p log p of a probability that is rounded to 0 is 0.
        self._negative_entropy += float(np.sum(np.where(probabilities > 0, probabilities * log_probabilities, 0.0)))

    @property
    def mean(self) -> np.ndarray:
        """p(y), float64 [num_classes]."""
        return self._sum / self.count

    @property
    def mean_negative_entropy(self) -> float:
        """The mean over images of sum_y p(y|x) log p(y|x)."""
        return self._negative_entropy / self.count


@dataclasses.dataclass(frozen=True)
class Moments:
    """Mean float64 [d] and unbiased covariance float64 [d, d] of `count` feature vectors."""

    count: int = 0
    mean: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros(0))
    covariance: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros((0, 0)))


def moments_of_features(features: np.ndarray) -> Moments:
    """Return the moments of all features [n, d] at once."""
    statistics = FeatureStatistics(features.shape[1])
    statistics.add(features)
    return Moments(statistics.count, statistics.mean, statistics.covariance)


@dataclasses.dataclass(frozen=True)
class Gathered:
    """What is known of a set of images; what nobody needed is empty.

    Attributes:
        count: images.
        moments: of their features.
        probabilities: of their classes.
        features: float32 [n, d], all of them or as many as are kept, in random order.
        labels: int32 [n], of `features`.
        labeled: int64 [classes, at most], images of each of the extractor's classes, where labels are compared.
        agreeing: int64 [classes, at most], those of them whose likeliest class is their label.
        class_counts: int64 [classes, at most], images per label; trailing labels without images are omitted.
    """

    count: int = 0
    moments: Moments = Moments()
    probabilities: ProbabilityStatistics = ProbabilityStatistics(0)
    features: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros((0, 0), np.float32))
    labels: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros(0, np.int32))
    labeled: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros(0, np.int64))
    agreeing: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros(0, np.int64))
    class_counts: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros(0, np.int64))

    @property
    def agreement(self) -> float:
        """Fraction of images whose likeliest class is their label; NaN where labels were not compared."""
        return int(self.agreeing.sum()) / int(self.labeled.sum()) if self.labeled.size else float("nan")

    @property
    def class_agreement(self) -> np.ndarray:
        """The same fraction within each class, float64 [classes, at most]; NaN for a class without images."""
        return np.where(self.labeled > 0, self.agreeing / np.maximum(self.labeled, 1), np.nan)


class Gatherer:
    """Gathers what is needed of the first `size` images that it is given.

    Args:
        size: images; None takes all.
        needs: what of `STATISTICS`, `PROBABILITIES`, `FEATURES`, `AGREEMENT`, `CLASS_COUNTS`.
        most_kept: features kept at most.
    """

    def __init__(self, size: int | None, needs: Collection[str], most_kept: int | None = None) -> None:
        self.count = 0
        self._size = size
        self._needs = frozenset(needs)
        self._most_kept = most_kept
        self._statistics: FeatureStatistics | None = None
        self._probabilities: ProbabilityStatistics | None = None
        self._features: list[np.ndarray] = []
        self._labels: list[np.ndarray] = []
        self._labeled: np.ndarray = np.zeros(0, np.int64)
        self._agreeing: np.ndarray = np.zeros(0, np.int64)
        self._class_counts: np.ndarray = np.zeros(0, np.int64)

    def add(
        self, features: np.ndarray, logits: np.ndarray, labels: np.ndarray, classes: np.ndarray | None = None
    ) -> None:
        """Add a batch; what is beyond `size` is left out.

        Args:
            features: [n, d].
            logits: [n, classes].
            labels: [n], kept with the features.
            classes: [n], which of the logits stands for each image's label; None: the label's own number.
        """
        left = len(features) if self._size is None else min(len(features), self._size - self.count)
        if left <= 0:
            return
        classes = labels if classes is None else classes
        features, logits, labels, classes = features[:left], logits[:left], labels[:left], classes[:left]
        self.count += left
        if STATISTICS in self._needs:
            self._statistics = self._statistics or FeatureStatistics(features.shape[1])
            self._statistics.add(features)
        if PROBABILITIES in self._needs:
            self._probabilities = self._probabilities or ProbabilityStatistics(logits.shape[1])
            self._probabilities.add(logits)
        if FEATURES in self._needs:
            kept = sum(map(len, self._features))
            free = left if self._most_kept is None else max(self._most_kept - kept, 0)
            self._features.append(features[:free].astype(np.float32))
            self._labels.append(labels[:free].astype(np.int32))
        if AGREEMENT in self._needs:
            self._labeled = _add_counts(self._labeled, classes)
            self._agreeing = _add_counts(self._agreeing, classes[logits.argmax(1) == classes], len(self._labeled))
        if CLASS_COUNTS in self._needs:
            self._class_counts = _add_counts(self._class_counts, labels)

    def gathered(self) -> Gathered:
        """Return what was gathered."""
        found: dict[str, Any] = {}
        if self._statistics is not None:
            statistics = self._statistics
            found["moments"] = Moments(statistics.count, statistics.mean, statistics.covariance)
        if self._probabilities is not None:
            found["probabilities"] = self._probabilities
        if self._features:
            found |= {"features": np.concatenate(self._features), "labels": np.concatenate(self._labels)}
        if AGREEMENT in self._needs:
            found |= {"labeled": self._labeled, "agreeing": self._agreeing}
        return Gathered(self.count, class_counts=self._class_counts, **found)


def _add_counts(counts: np.ndarray, labels: np.ndarray, classes: int = 0) -> np.ndarray:
    """Add the images of each class to counts, which get as long as the labels, or `classes`, need."""
    added = np.bincount(labels, minlength=max(len(counts), classes))
    added[: len(counts)] += counts
    return added
