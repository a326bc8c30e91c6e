"""Differences of mean logits within classes, between sets with different proportions of classes."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Gap(NamedTuple):
    """A difference of mean logits within classes.

    Attributes:
        mean: The weighted mean over the classes that both sets have.
        error: The standard error of the mean.
    """

    mean: float
    error: float


def gap_within_classes(
    first: np.ndarray,
    first_labels: np.ndarray,
    second: np.ndarray,
    second_labels: np.ndarray,
    *,
    weighted_by: np.ndarray,
) -> Gap | None:
    """Compute the mean logit of a set less that of another, within the classes that both have.

    Args:
        first: float64 [n].
        first_labels: int32 [n].
        second: float64 [m].
        second_labels: int32 [m].
        weighted_by: int32 [k], labels: the weight of a class is the number of times it occurs among them. Only gaps
            with the same weights can be compared.

    Returns:
        The difference; None if the sets have no class of a weight above 0 in common.
    """
    classes = np.intersect1d(first_labels, second_labels)
    counts = np.array([np.sum(weighted_by == label) for label in classes])
    if not counts.sum():
        return None
    weights = counts / counts.sum()
    pairs = [(first[first_labels == label], second[second_labels == label]) for label in classes]
    means = np.array([one.mean() - other.mean() for one, other in pairs])
    # Pooled over the classes, since a class may have a single image.
    deviations = np.concatenate([values - values.mean() for pair in pairs for values in pair])
    variance = np.square(deviations).sum() / max(1, len(deviations) - 2 * len(pairs))
    terms = np.array([1.0 / len(one) + 1.0 / len(other) for one, other in pairs])
    return Gap(float(weights @ means), float(np.sqrt(variance * (np.square(weights) @ terms))))
