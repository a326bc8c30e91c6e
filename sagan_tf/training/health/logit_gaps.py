"""Differences of mean logits within classes."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class LogitGap(NamedTuple):
    """Difference of mean logits within classes.

    Attributes:
        mean: The weighted mean over the classes of both sets.
        error: The standard error of the mean.
    """

    mean: float
    error: float


def compute_gap_within_classes(
    first: np.ndarray,
    first_labels: np.ndarray,
    second: np.ndarray,
    second_labels: np.ndarray,
    *,
    weighted_by: np.ndarray,
) -> LogitGap | None:
    """Compute the difference of the mean logits of two sets within their classes.

    The two sets may have different proportions of classes.

    Args:
        first: float64 [n], the logits of the first set.
        first_labels: int32 [n], their labels.
        second: float64 [m], the logits of the second set, which are subtracted.
        second_labels: int32 [m], their labels.
        weighted_by: int32 [k], labels. The weight of a class is its number of occurrences in these labels. Only gaps
            with the same weights can be compared.

    Returns:
        The difference; None if the sets have no class with a weight above 0 in common.
    """
    classes = np.intersect1d(first_labels, second_labels)
    counts = np.array([np.sum(weighted_by == label) for label in classes])
    if not counts.sum():
        return None
    weights = counts / counts.sum()
    pairs = [(first[first_labels == label], second[second_labels == label]) for label in classes]
    means = np.array([first_values.mean() - second_values.mean() for first_values, second_values in pairs])
    # The variance is pooled over the classes, because a class may have a single image.
    deviations = np.concatenate([values - values.mean() for pair in pairs for values in pair])
    variance = np.square(deviations).sum() / max(1, len(deviations) - 2 * len(pairs))
    terms = np.array([1.0 / len(first_values) + 1.0 / len(second_values) for first_values, second_values in pairs])
    return LogitGap(float(weights @ means), float(np.sqrt(variance * (np.square(weights) @ terms))))
