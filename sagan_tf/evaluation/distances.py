"""The formulas of the metrics, on features and statistics; nothing here knows images or networks."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import tensorflow as tf

from sagan_tf.evaluation.statistics import Moments, ProbabilityStatistics, moments_of_features

_ROWS_AT_ONCE = 1024


def frechet_distance(first: Moments, second: Moments) -> float:
    """Return the Fréchet distance |m1 - m2|^2 + Tr(C1 + C2 - 2 (C1 C2)^(1/2)) of two Gaussians.

    It is at least 0, and NaN if a moment is not finite. Features that are multiplied by c give c^2 times the distance,
    for any c: every threshold here is relative to the covariances.

    Reference: Heusel et al., GANs Trained by a Two Time-Scale Update Rule, NeurIPS 2017.
    """
    of_means = float(np.sum(np.square(first.mean - second.mean)))
    traces = float(np.trace(first.covariance) + np.trace(second.covariance))
    if not math.isfinite(of_means + traces):
        return math.nan
    of_covariances = traces - 2.0 * _trace_of_root_of_product(first.covariance, second.covariance)
    # Equal covariances give a difference of large numbers: what is left of it is rounding, of either sign.
    rounding = len(first.mean) * np.finfo(np.float64).eps * abs(traces)
    return of_means + (of_covariances if of_covariances > rounding else 0.0)


def _trace_of_root_of_product(first: np.ndarray, second: np.ndarray) -> float:
    """Return Tr((C1 C2)^(1/2)) of two covariances.

    With C1 = A A' and C2 = B B', the eigenvalues of C1 C2 are the squares of the singular values of A' B. TF-GAN's
    function takes roots of singular values, and sets those below an absolute 1e-10 aside, where rounding may be larger.
    """
    with tf.device("CPU:0"):  # the same number on every machine
        product = tf.matmul(_factor(first), _factor(second), transpose_a=True)
        return float(tf.reduce_sum(tf.linalg.svd(product, compute_uv=False)))


def _factor(covariance: np.ndarray) -> tf.Tensor:
    """Return a matrix A, [d, rank], with A A' = covariance."""
    factor = tf.linalg.cholesky(covariance)
    if tf.reduce_all(tf.math.is_finite(factor)):
        return factor
    # The covariance is singular, as with fewer images than dimensions.
    values, vectors = tf.linalg.eigh(covariance)
    kept = values > len(covariance) * np.finfo(np.float64).eps * values[-1]
    return tf.boolean_mask(vectors, kept, axis=1) * tf.sqrt(values[kept])


def classifier_score(probabilities: ProbabilityStatistics) -> float:
    """exp(E_x KL(p(y|x) || p(y))), between 1 and the number of classes, over all images at once (one split).

    Reference: Salimans et al., Improved Techniques for Training GANs, NeurIPS 2016.
    """
    mean = probabilities.mean
    entropy = -float(np.sum(mean[mean > 0] * np.log(mean[mean > 0])))
    return float(np.exp(probabilities.mean_negative_entropy + entropy))


def precision_and_recall(fake: np.ndarray, real: np.ndarray, neighbours: int = 3) -> tuple[float, float]:
    """How much of the fake features lies within the real ones' manifold, and the reverse.

    A set's manifold: balls around its points as large as the distance to the `neighbours`-th nearest other one.

    Args:
        fake: [n, d], n above `neighbours`.
        real: [m, d], m above `neighbours`.
        neighbours: 3 in the paper.

    Reference: Kynkaanniemi et al., Improved Precision and Recall Metric for Assessing Generative Models, NeurIPS 2019.
    """
    return _fraction_within(fake, real, neighbours), _fraction_within(real, fake, neighbours)


def density_and_coverage(fake: np.ndarray, real: np.ndarray, neighbours: int = 5) -> tuple[float, float]:
    """In how many real balls a fake point lies, over `neighbours`; and the fraction of real balls with a fake point.

    Args and balls as for `precision_and_recall`; density may be above 1.

    Reference: Naeem et al., Reliable Fidelity and Diversity Metrics for Generative Models, ICML 2020.
    """
    radii = _radii(real, neighbours)
    total = 0
    covered: np.ndarray = np.zeros(len(real), bool)
    for squares in _squared_distances(fake, real):
        within = squares <= radii
        total += int(within.sum())
        covered |= within.any(0)
    return total / (neighbours * len(fake)), float(covered.mean())


def mean_distance_within_classes(
    fake: np.ndarray, fake_labels: np.ndarray, real: np.ndarray, real_labels: np.ndarray
) -> float:
    """The Fréchet distance of each class's features by themselves, averaged over the classes (intra-FID).

    Every class must have at least two feature vectors in both sets.

    Reference: Miyato & Koyama, cGANs with Projection Discriminator, ICLR 2018.
    """
    classes = np.union1d(fake_labels, real_labels)
    pairs = ((fake[fake_labels == one], real[real_labels == one]) for one in classes)
    return float(
        np.mean([frechet_distance(moments_of_features(first), moments_of_features(second)) for first, second in pairs])
    )


def _fraction_within(points: np.ndarray, centres: np.ndarray, neighbours: int) -> float:
    radii = _radii(centres, neighbours)
    return float(
        np.mean(np.concatenate([(squares <= radii).any(1) for squares in _squared_distances(points, centres)]))
    )


def _radii(points: np.ndarray, neighbours: int) -> np.ndarray:
    """Squared distance from each point to its `neighbours`-th nearest other one."""
    # A point's own distance, 0, comes first.
    parts = [np.partition(squares, neighbours, 1)[:, neighbours] for squares in _squared_distances(points, points)]
    return np.concatenate(parts)


def _squared_distances(rows: np.ndarray, columns: np.ndarray) -> Iterator[np.ndarray]:
    """The matrix of squared distances, some rows at a time; float64, or nearby points would be lost in rounding."""
    columns = columns.astype(np.float64)
    norms = np.sum(np.square(columns), 1)
    for start in range(0, len(rows), _ROWS_AT_ONCE):
        part: np.ndarray = rows[start : start + _ROWS_AT_ONCE].astype(np.float64)
        squares = np.sum(np.square(part), 1)[:, None] + norms - 2.0 * part @ columns.T
        yield np.maximum(squares, 0.0)
