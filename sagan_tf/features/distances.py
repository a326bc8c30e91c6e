"""The formulas of the metrics, on features and statistics; nothing here knows images or networks."""

from __future__ import annotations

import concurrent.futures
import math
import os
from collections.abc import Callable
from typing import TypeVar

import numpy as np
import tensorflow as tf

from sagan_tf.features.statistics import Moments, ProbabilityStatistics, moments_of_features

_NUMBERS_AT_ONCE = 2**22
"""Squared distances that one thread holds at once: 32 MiB."""
_MAX_THREADS = 8
_Part = TypeVar("_Part")


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
    # Not by Cholesky: a covariance is singular for fewer images than dimensions, and TensorFlow then logs a failure.
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
    of_real, of_fake = _radii(real, neighbours), _radii(fake, neighbours)

    def compare(start: int, squares: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        within_fake = squares <= of_fake[start : start + len(squares), None]
        return (squares <= of_real).any(1), within_fake.any(0)

    precise, recalled = zip(*_map_squared_distances(compare, fake, real), strict=True)
    return float(np.concatenate(precise).mean()), float(np.logical_or.reduce(recalled).mean())


def density_and_coverage(fake: np.ndarray, real: np.ndarray, neighbours: int = 5) -> tuple[float, float]:
    """In how many real balls a fake point lies, over `neighbours`; and the fraction of real balls with a fake point.

    Args and balls as for `precision_and_recall`; density may be above 1.

    Reference: Naeem et al., Reliable Fidelity and Diversity Metrics for Generative Models, ICML 2020.
    """
    radii = _radii(real, neighbours)

    def compare(start: int, squares: np.ndarray) -> tuple[int, np.ndarray]:
        within = squares <= radii
        return int(within.sum()), within.any(0)

    counts, covered = zip(*_map_squared_distances(compare, fake, real), strict=True)
    return sum(counts) / (neighbours * len(fake)), float(np.logical_or.reduce(covered).mean())


def mean_distance_within_classes(
    fake: np.ndarray, fake_labels: np.ndarray, real: np.ndarray, real_labels: np.ndarray
) -> float:
    """Return the Fréchet distance of each class's features by themselves, averaged over the classes (intra-FID).

    Every class must have at least two feature vectors in both sets.

    Reference: Miyato & Koyama, cGANs with Projection Discriminator, ICLR 2018.
    """
    classes = np.union1d(fake_labels, real_labels)
    pairs = ((fake[fake_labels == one], real[real_labels == one]) for one in classes)
    return float(
        np.mean([frechet_distance(moments_of_features(first), moments_of_features(second)) for first, second in pairs])
    )


def _radii(points: np.ndarray, neighbours: int) -> np.ndarray:
    """Compute the squared distance from each point to its `neighbours`-th nearest other one."""

    def find(start: int, squares: np.ndarray) -> np.ndarray:
        squares.partition(neighbours, 1)  # a point's own distance, 0, comes first
        return squares[:, neighbours].copy()

    # Rounding may leave the square of a small distance below 0.
    return np.maximum(np.concatenate(_map_squared_distances(find, points, points)), 0.0)


def _map_squared_distances(
    function: Callable[[int, np.ndarray], _Part], rows: np.ndarray, columns: np.ndarray
) -> list[_Part]:
    """Call a function for parts of the matrix of squared distances, on all cores.

    Args:
        function: Called with the number of the first row and float64 `[some rows, columns]`, which it may overwrite;
            a square of a small distance may be rounded below 0.
        rows: `[n, d]`.
        columns: `[m, d]`.

    Returns:
        What the function returned, in the order of the rows.
    """
    columns = columns.astype(np.float64)  # in float32 nearby points would be lost in rounding
    norms = np.sum(np.square(columns), 1)
    rows_at_once = max(1, _NUMBERS_AT_ONCE // len(columns))

    def compute(start: int) -> _Part:
        part: np.ndarray = rows[start : start + rows_at_once].astype(np.float64)
        squares = np.sum(np.square(part), 1)[:, None] + norms
        squares -= 2.0 * part @ columns.T
        return function(start, squares)

    with concurrent.futures.ThreadPoolExecutor(min(os.cpu_count() or 1, _MAX_THREADS)) as pool:
        return list(pool.map(compute, range(0, len(rows), rows_at_once)))
