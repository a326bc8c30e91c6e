"""Formulas of the metrics on features and their statistics, independent of images and networks."""

from __future__ import annotations

import concurrent.futures
import math
import os
from collections.abc import Callable
from typing import TypeVar

import numpy as np
import tensorflow as tf

from sagan_tf.features.statistics import Moments, ProbabilityStatistics, compute_moments

_MAX_DISTANCES_PER_THREAD = 2**22
"""Squared distances that one thread holds at a time: 32 MiB."""
_MAX_THREADS = 8
_NEAREST_FRACTION = 0.01
"""Fraction of held-out images that `near_copies` counts."""
_Part = TypeVar("_Part")


def compute_frechet_distance(first: Moments, second: Moments) -> float:
    """Return the Fréchet distance of two Gaussians.

    It is |m1 - m2|^2 + Tr(C1 + C2 - 2 (C1 C2)^(1/2)) for means m and covariances C. The distance is at least 0, and NaN
    if a moment is not finite. Features that are multiplied by c give c^2 times the distance, for any c: every threshold
    here is relative to the covariances.

    Reference: Heusel et al., GANs Trained by a Two Time-Scale Update Rule, NeurIPS 2017.
    """
    mean_term = float(np.sum(np.square(first.mean - second.mean)))
    traces = float(np.trace(first.covariance) + np.trace(second.covariance))
    if not math.isfinite(mean_term + traces):
        return math.nan
    covariance_term = traces - 2.0 * _compute_root_trace(first.covariance, second.covariance)
    # For equal covariances, this is a difference of large numbers: the remainder is rounding error, of either sign.
    rounding = len(first.mean) * np.finfo(np.float64).eps * abs(traces)
    return mean_term + (covariance_term if covariance_term > rounding else 0.0)


def _compute_root_trace(first: np.ndarray, second: np.ndarray) -> float:
    """Return Tr((C1 C2)^(1/2)) of two covariances.

    With C1 = A A' and C2 = B B', the eigenvalues of C1 C2 are the squares of the singular values of A' B. TF-GAN's
    function takes roots of singular values and ignores those below an absolute 1e-10, where rounding may be larger.
    """
    with tf.device("CPU:0"):  # the same number on every machine
        product = tf.matmul(_factorize(first), _factorize(second), transpose_a=True)
        return float(tf.reduce_sum(tf.linalg.svd(product, compute_uv=False)))


def _factorize(covariance: np.ndarray) -> tf.Tensor:
    """Return a matrix A, `[d, rank]`, with A A' = covariance."""
    # Not by Cholesky: with fewer images than dimensions a covariance is singular, and TensorFlow then logs a failure.
    values, vectors = tf.linalg.eigh(covariance)
    kept = values > len(covariance) * np.finfo(np.float64).eps * values[-1]
    return tf.boolean_mask(vectors, kept, axis=1) * tf.sqrt(values[kept])


def compute_classifier_score(probabilities: ProbabilityStatistics) -> float:
    """Return exp(E_x KL(p(y|x) || p(y))), between 1 and the number of classes.

    The score is computed over all images at once (one split).

    Reference: Salimans et al., Improved Techniques for Training GANs, NeurIPS 2016.
    """
    mean = probabilities.mean
    entropy = -float(np.sum(mean[mean > 0] * np.log(mean[mean > 0])))
    return float(np.exp(probabilities.mean_negative_entropy + entropy))


def compute_precision_and_recall(fake: np.ndarray, real: np.ndarray, neighbors: int = 3) -> tuple[float, float]:
    """Return the precision and recall of fake features.

    Precision is the fraction of fake features within the manifold of the real features, recall the reverse. The
    manifold of a set is the union of balls around its points. The radius of a ball is the distance to the
    `neighbors`-th nearest other point of the set.

    Args:
        fake: `[n, d]`, n above `neighbors`.
        real: `[m, d]`, m above `neighbors`.
        neighbors: 3 in the paper.

    Reference: Kynkaanniemi et al., Improved Precision and Recall Metric for Assessing Generative Models, NeurIPS 2019.
    """
    real_radii, fake_radii = _compute_squared_radii(real, neighbors), _compute_squared_radii(fake, neighbors)

    def compare(start: int, squares: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        within_fake = squares <= fake_radii[start : start + len(squares), None]
        return (squares <= real_radii).any(1), within_fake.any(0)

    precise, recalled = zip(*_map_squared_distances(compare, fake, real), strict=True)
    return float(np.concatenate(precise).mean()), float(np.logical_or.reduce(recalled).mean())


def compute_density_and_coverage(fake: np.ndarray, real: np.ndarray, neighbors: int = 5) -> tuple[float, float]:
    """Return the density and coverage of fake features.

    Density is the mean number of real balls that contain a fake point, divided by `neighbors`; it may be above 1.
    Coverage is the fraction of real balls that contain a fake point. Arguments and balls are those of
    `compute_precision_and_recall`.

    Reference: Naeem et al., Reliable Fidelity and Diversity Metrics for Generative Models, ICML 2020.
    """
    radii = _compute_squared_radii(real, neighbors)

    def compare(start: int, squares: np.ndarray) -> tuple[int, np.ndarray]:
        within = squares <= radii
        return int(within.sum()), within.any(0)

    counts, covered = zip(*_map_squared_distances(compare, fake, real), strict=True)
    return sum(counts) / (neighbors * len(fake)), float(np.logical_or.reduce(covered).mean())


def compute_mean_class_distance(
    fake: np.ndarray, fake_labels: np.ndarray, real: np.ndarray, real_labels: np.ndarray
) -> float:
    """Return the mean Fréchet distance within classes (intra-FID).

    Every class must have at least two feature vectors in both sets.

    Reference: Miyato & Koyama, cGANs with Projection Discriminator, ICLR 2018.
    """
    classes = np.union1d(fake_labels, real_labels)
    pairs = ((fake[fake_labels == label], real[real_labels == label]) for label in classes)
    return float(
        np.mean([compute_frechet_distance(compute_moments(first), compute_moments(second)) for first, second in pairs])
    )


def compute_authenticity(fake: np.ndarray, real: np.ndarray, held_out: np.ndarray) -> dict[str, float]:
    """Return how often features are nearer to a training feature than training features are to each other.

    Args:
        fake: `[n, d]`, features of generated images.
        real: `[m, d]`, features of training images, m above 1.
        held_out: `[k, d]`, features of real images that were not trained on.

    Returns:
        `authenticity`: the fraction of fake features that are farther from their nearest training feature than that
        is from its nearest other (AuthPct). `held_out`: the same fraction of the held-out features. `near_copies`:
        the fraction of fake features whose relative distance is at most that of the nearest 1 % of held-out features.

    Reference: Alaa et al., How Faithful is your Synthetic Data?, ICML 2022; `near_copies` is this project's.
    """
    distances = compute_relative_distances(fake, real)
    held_out_distances = compute_relative_distances(held_out, real)
    limit = np.quantile(held_out_distances, _NEAREST_FRACTION, method="lower")
    return {
        "authenticity": float(np.mean(distances > 1.0)),
        "held_out": float(np.mean(held_out_distances > 1.0)),
        "near_copies": float(np.mean(distances <= limit)),
    }


def compute_relative_distances(points: np.ndarray, training: np.ndarray) -> np.ndarray:
    """Return the distance of each point to its nearest training point, relative to that point's own neighbor.

    The distance is divided by the distance from the nearest training point to its nearest other training point. A
    point that is equal to a training point has the relative distance 0, also if that training point occurs twice.

    Args:
        points: `[n, d]`.
        training: `[m, d]`, m above 1.

    Returns:
        float64 `[n]`, at least 0.
    """
    nearest = _find_nearest(points, training)
    found, indices = np.unique(nearest, return_inverse=True)
    neighbors = _find_nearest(training[found], training, excluded=found)
    # Distances are computed once more from differences: the squares in the matrix are inexact for near copies.
    distances = _compute_distances(points, training[nearest])
    radii = _compute_distances(training[found], training[neighbors])[indices]
    unknown = np.where(distances > 0.0, np.inf, 0.0)
    return np.divide(distances, radii, out=unknown, where=radii > 0.0)


def _find_nearest(points: np.ndarray, training: np.ndarray, excluded: np.ndarray | None = None) -> np.ndarray:
    """Return the index of the training point nearest to each point, other than the index in `excluded`."""

    def find(start: int, squares: np.ndarray) -> np.ndarray:
        if excluded is not None:
            squares[np.arange(len(squares)), excluded[start : start + len(squares)]] = np.inf
        return squares.argmin(1)

    return np.concatenate(_map_squared_distances(find, points, training))


def _compute_distances(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the distances of paired points."""
    return np.linalg.norm(first.astype(np.float64) - second, axis=1)


def _compute_squared_radii(points: np.ndarray, neighbors: int) -> np.ndarray:
    """Return the squared distance of each point to its `neighbors`-th nearest other."""

    def find(start: int, squares: np.ndarray) -> np.ndarray:
        squares.partition(neighbors, 1)  # a point's distance to itself, 0, comes first
        return squares[:, neighbors].copy()

    # Rounding may leave the square of a small distance below 0.
    return np.maximum(np.concatenate(_map_squared_distances(find, points, points)), 0.0)


def _map_squared_distances(
    function: Callable[[int, np.ndarray], _Part], rows: np.ndarray, columns: np.ndarray
) -> list[_Part]:
    """Call a function for parts of the matrix of squared distances, on all cores.

    Args:
        function: Called with the index of the first row and float64 `[some rows, columns]`, which it may overwrite.
            The square of a small distance may be rounded below 0.
        rows: `[n, d]`.
        columns: `[m, d]`.

    Returns:
        The results of the function, in the order of the rows.
    """
    columns = columns.astype(np.float64)  # in float32, the distance of nearby points would be lost in rounding
    norms = np.sum(np.square(columns), 1)
    rows_per_part = max(1, _MAX_DISTANCES_PER_THREAD // len(columns))

    def compute(start: int) -> _Part:
        part: np.ndarray = rows[start : start + rows_per_part].astype(np.float64)
        squares = np.sum(np.square(part), 1)[:, None] + norms
        squares -= 2.0 * part @ columns.T
        return function(start, squares)

    with concurrent.futures.ThreadPoolExecutor(min(os.cpu_count() or 1, _MAX_THREADS)) as pool:
        return list(pool.map(compute, range(0, len(rows), rows_per_part)))
