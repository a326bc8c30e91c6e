"""How much a converted generator's pictures differ from the generator's own."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from sagan_tf.evaluation.distances import frechet_distance
from sagan_tf.evaluation.statistics import FeatureStatistics, Moments

Images = Callable[[np.ndarray, np.ndarray], np.ndarray]
Features = Callable[[np.ndarray], np.ndarray]
_POOLED = 4
"""Side of the grid of means that stand for a picture where no extractor does."""


@dataclasses.dataclass(frozen=True)
class Parity:
    """Differences of two sets of pictures of the same latents and labels, all in [-1, 1].

    Attributes:
        max_error: largest absolute difference of two pixels.
        mean_error: mean of absolute differences.
        frechet_distance: between the features of both sets.
        features: whose they are.
        num_samples: pictures compared.
    """

    max_error: float
    mean_error: float
    frechet_distance: float
    features: str
    num_samples: int


def compare(images: np.ndarray, reference: np.ndarray, features: Features, features_name: str) -> Parity:
    """Compares pictures.

    Args:
        images, reference: float32 [n, height, width, channels], n at least 2.
        features: of such pictures, [n, d].
        features_name: for the report.
    """
    differences = np.abs(images.astype(np.float64) - reference)
    distance = frechet_distance(_moments(features(images)), _moments(features(reference)))
    return Parity(float(differences.max()), float(differences.mean()), distance, features_name, len(images))


def pooled_pixels(images: np.ndarray) -> np.ndarray:
    """Means of a picture's parts, as features that need no network: [n, h, w, c] -> [n, 16 c]."""
    pooled = tf.image.resize(images, (_POOLED, _POOLED), method="area")
    return pooled.numpy().reshape(len(images), -1)


def _moments(features: np.ndarray) -> Moments:
    statistics = FeatureStatistics(features.shape[1])
    statistics.add(features)
    return Moments(statistics.count, statistics.mean, statistics.covariance)
