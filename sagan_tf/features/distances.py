"""Formulas of the metrics on features and their statistics, independent of images and networks."""

from __future__ import annotations

import math

import numpy as np
import tensorflow as tf

from sagan_tf.features.squared_distances import compute_squared_radii, map_squared_distances
from sagan_tf.features.statistics import Moments, ProbabilityStatistics, compute_moments


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
    real_radii, fake_radii = compute_squared_radii(real, neighbors), compute_squared_radii(fake, neighbors)

    def compare(start: int, squares: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        within_fake = squares <= fake_radii[start : start + len(squares), None]
        return (squares <= real_radii).any(1), within_fake.any(0)

    precise, recalled = zip(*map_squared_distances(compare, fake, real), strict=True)
    return float(np.concatenate(precise).mean()), float(np.logical_or.reduce(recalled).mean())


def compute_class_precision_and_recall(
    fake: np.ndarray,
    fake_labels: np.ndarray,
    real: np.ndarray,
    real_labels: np.ndarray,
    min_images: int,
    neighbors: int = 3,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the precision and recall within each class.

    The features of a class are compared with those of the same class only, as many of them on both sides as the smaller
    side has. The values of two classes can be compared if these numbers are alike, because the balls of
    `compute_precision_and_recall` get smaller as a set gets larger.

    Args:
        fake: `[n, d]`, in random order.
        fake_labels: Integers `[n]`.
        real: `[m, d]`, in random order.
        real_labels: Integers `[m]`.
        min_images: Number of images on both sides that a class needs, above `neighbors`.
        neighbors: 3 in the paper.

    Returns:
        Precision and recall, float64 `[classes]`, NaN for a class with fewer images; and the number of features of each
        class that were compared on each side, int64 `[classes]`.
    """
    num_classes = 1 + max(fake_labels.max(initial=-1), real_labels.max(initial=-1))
    counts = np.minimum(*(np.bincount(labels, minlength=num_classes) for labels in (fake_labels, real_labels)))
    counts = np.where(counts >= min_images, counts, 0)
    values = np.full((2, num_classes), np.nan)
    for label in np.flatnonzero(counts):
        sets = fake[fake_labels == label][: counts[label]], real[real_labels == label][: counts[label]]
        values[:, label] = compute_precision_and_recall(*sets, neighbors)
    return values[0], values[1], counts


def compute_density_and_coverage(fake: np.ndarray, real: np.ndarray, neighbors: int = 5) -> tuple[float, float]:
    """Return the density and coverage of fake features.

    Density is the mean number of real balls that contain a fake point, divided by `neighbors`; it may be above 1.
    Coverage is the fraction of real balls that contain a fake point. Arguments and balls are those of
    `compute_precision_and_recall`.

    Reference: Naeem et al., Reliable Fidelity and Diversity Metrics for Generative Models, ICML 2020.
    """
    radii = compute_squared_radii(real, neighbors)

    def compare(start: int, squares: np.ndarray) -> tuple[int, np.ndarray]:
        within = squares <= radii
        return int(within.sum()), within.any(0)

    counts, covered = zip(*map_squared_distances(compare, fake, real), strict=True)
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
