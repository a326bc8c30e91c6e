"""The formulas against TF-GAN's functions, against independent float64 functions, and in cases with a known value."""

import importlib
import os
import threading
import time
from typing import Any

import numpy as np
import pytest
import scipy.linalg
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from sagan_tf.environment.cores import list_usable_cores
from sagan_tf.features import distances, squared_distances, tf_gan
from sagan_tf.features.statistics import FeatureStatistics, Moments, ProbabilityStatistics, compute_moments


def features(count: int, dimensions: int = 12, seed: int = 1, shift: float = 0.0) -> np.ndarray:
    """Return correlated features float32, at least 0 like Inception's."""
    random = np.random.default_rng(seed)
    mixture = np.random.default_rng(0).normal(size=(dimensions, dimensions))
    return np.maximum(random.normal(size=(count, dimensions)) @ mixture + shift, 0.0).astype(np.float32)


def moments(values: np.ndarray) -> Moments:
    statistics = FeatureStatistics(values.shape[1])
    for start in range(0, len(values), 100):
        statistics.add(values[start : start + 100])
    return Moments(statistics.count, statistics.mean, statistics.covariance)


def probabilities(logits: np.ndarray) -> ProbabilityStatistics:
    statistics = ProbabilityStatistics(logits.shape[1])
    for start in range(0, len(logits), 100):
        statistics.add(logits[start : start + 100])
    return statistics


def tfgan_metrics() -> Any:
    """Return TF-GAN's module of formulas, imported as the library does."""
    tf_gan._import_classifier_metrics()
    return importlib.import_module("tensorflow_gan.python.eval.classifier_metrics")


def frechet_by_scipy(first: np.ndarray, second: np.ndarray) -> float:
    first, second = first.astype(np.float64), second.astype(np.float64)
    covariances = [np.cov(values, rowvar=False) for values in (first, second)]
    root = scipy.linalg.sqrtm(covariances[0] @ covariances[1]).real
    return float(np.sum((first.mean(0) - second.mean(0)) ** 2) + np.trace(sum(covariances) - 2.0 * root))


@pytest.mark.parametrize("counts", [(500, 500), (300, 700)])
def test_frechet_distance_equals_tfgan_and_scipy(counts):
    first, second = features(counts[0]), features(counts[1], seed=2, shift=0.5)
    distance = distances.compute_frechet_distance(moments(first), moments(second))
    exact = [tf.constant(values.astype(np.float64)) for values in (first, second)]
    tfgan_distance = float(tfgan_metrics().frechet_classifier_distance_from_activations(*exact))
    np.testing.assert_allclose(distance, tfgan_distance, rtol=1e-6)
    np.testing.assert_allclose(distance, frechet_by_scipy(first, second), rtol=1e-6)
    assert distance > 0.1


def test_two_gaussians_in_closed_form():
    """For diagonal covariances: the sum of (difference of means)^2 + (difference of deviations)^2."""
    means, deviations = np.array([[0.0, 1.0, 2.0], [3.0, 1.0, 0.0]]), np.array([[1.0, 2.0, 0.5], [2.0, 2.0, 3.0]])
    pairs = zip(means, deviations, strict=True)
    first, second = (Moments(9, mean, np.diag(deviation**2)) for mean, deviation in pairs)
    expected = float(np.sum((means[0] - means[1]) ** 2) + np.sum((deviations[0] - deviations[1]) ** 2))
    np.testing.assert_allclose(distances.compute_frechet_distance(first, second), expected, rtol=1e-12)


def random_features(count: int, dimensions: int, rank: int, seed: int, mean: float = 0.0) -> np.ndarray:
    """Return features of at most this rank, with deviations over three decades."""
    random = np.random.default_rng(seed)
    mixture = random.normal(size=(rank, dimensions)) * np.logspace(0.0, -3.0, rank)[:, None]
    return random.normal(size=(count, rank)) @ mixture + mean


def frechet_by_svd(first: np.ndarray, second: np.ndarray) -> tuple[float, float]:
    """Return the distance and the sum of both traces from the centered features, without a matrix root."""
    parts = [(values - values.mean(0)) / np.sqrt(len(values) - 1) for values in (first, second)]
    traces = sum(float(np.sum(part**2)) for part in parts)
    means = float(np.sum((first.mean(0) - second.mean(0)) ** 2))
    return means + traces - 2.0 * float(scipy.linalg.svdvals(parts[0] @ parts[1].T).sum()), traces


@settings(max_examples=60, deadline=None)
@given(
    exponent=st.integers(-6, 6),
    dimensions=st.integers(1, 24),
    ranks=st.tuples(st.integers(1, 24), st.integers(1, 24)),
    counts=st.tuples(st.integers(2, 60), st.integers(2, 60)),
    seed=st.integers(0, 999),
)
def test_frechet_distance_at_any_scale_and_rank(exponent, dimensions, ranks, counts, seed):
    """Features times c have c^2 times the distance, also with fewer images than dimensions."""
    sets = [
        random_features(count, dimensions, min(rank, dimensions), seed + index, mean=index * 0.1)
        for index, (count, rank) in enumerate(zip(counts, ranks, strict=True))
    ]
    expected, traces = frechet_by_svd(*sets)
    scale = 10.0**exponent
    distance = distances.compute_frechet_distance(*(moments(scale * values) for values in sets)) / scale**2
    # In a direction in which one set has no variance, a rounding error of 1e-16 of the largest has a root of 1e-8.
    np.testing.assert_allclose(distance, expected, rtol=1e-9, atol=1e-7 * traces)


@pytest.mark.parametrize("scale", [1e-18, 1e-3, 1.0, 1e6])
@pytest.mark.parametrize("count", [2, 9, 400])
def test_a_set_is_at_distance_0_from_itself(count, scale):
    values = scale * features(count).astype(np.float64)
    assert distances.compute_frechet_distance(moments(values), moments(values)) == 0.0
    shuffled = distances.compute_frechet_distance(
        moments(values), moments(np.random.default_rng(0).permutation(values))
    )
    assert 0.0 <= shuffled < 1e-13 * scale**2
    labels: np.ndarray = np.arange(count) % (2 if count > 3 else 1)
    assert distances.compute_mean_class_distance(values, labels, values, labels) == 0.0


def test_sets_without_variance():
    """The distance is that of the means squared, plus the trace of the covariance of the set with variance."""
    points, spread = np.full((50, 12), 0.1), features(50)
    assert distances.compute_frechet_distance(moments(points), moments(points)) == 0.0
    np.testing.assert_allclose(
        distances.compute_frechet_distance(moments(points), moments(points + 1e-6)), 12e-12, rtol=1e-6
    )
    expected = float(np.sum((spread.mean(0) - 0.1) ** 2) + np.sum(spread.var(0, ddof=1)))
    np.testing.assert_allclose(
        distances.compute_frechet_distance(moments(points), moments(spread)), expected, rtol=1e-6
    )


def test_moments_that_are_not_finite_give_nan():
    values = features(20)
    values[3, 2] = np.nan
    assert np.isnan(distances.compute_frechet_distance(moments(values), moments(features(20))))


@pytest.mark.parametrize("scale", [1e-4, 1e-2])
def test_the_kernel_distance_of_small_features(scale):
    """(1 + x)^3 is about 1 + 3 x, so that it is the distance of the means, without a threshold."""
    first, second = (scale * features(300, seed=seed, shift=shift) for seed, shift in ((1, 0.0), (2, 2.0)))
    pairs = ((first, first), (second, second), (first, second))
    products = [left.astype(np.float64) @ right.T.astype(np.float64) for left, right in pairs]
    within = [(product.sum() - np.trace(product)) / (300 * 299) for product in products[:2]]
    expected = 3.0 / 12 * (sum(within) - 2.0 * products[2].mean())
    assert tf_gan.compute_kernel_distance(first, second)[0] == pytest.approx(expected, rel=0.05)


def test_classifier_score_equals_tfgan_and_its_definition():
    logits = np.random.default_rng(1).normal(0.0, 3.0, size=(350, 20)).astype(np.float32)
    score = distances.compute_classifier_score(probabilities(logits))
    tfgan_score = float(tfgan_metrics().classifier_score_from_logits(tf.constant(logits.astype(np.float64))))
    p = scipy.special.softmax(logits.astype(np.float64), axis=1)
    expected = np.exp(np.mean(np.sum(p * (np.log(p) - np.log(p.mean(0))), 1)))
    np.testing.assert_allclose(score, tfgan_score, rtol=1e-6)
    np.testing.assert_allclose(score, expected, rtol=1e-9)


def test_fractions_of_neighborhoods_by_hand():
    """On a line with k = 1, the radius of a ball is the distance to the nearest other point."""
    real, fake = np.array([[0.0], [1.0], [10.0]]), np.array([[0.9], [1.5], [19.5], [40.0]])
    # Real balls: 0 +- 1, 1 +- 1, 10 +- 9. Fake balls: 0.9 +- 0.6, 1.5 +- 0.6, 19.5 +- 18, 40 +- 20.5.
    assert distances.compute_precision_and_recall(fake, real, neighbors=1) == (2 / 4, 2 / 3)
    # 0.9 is in the balls of 0 and 1, 1.5 is in those of 1 and 10, and 19.5 and 40 are in none. No real ball is empty.
    assert distances.compute_density_and_coverage(fake, real, neighbors=1) == (4 / 4, 1.0)


def test_precision_and_recall_within_classes_by_hand():
    """Within class 1 are the points of the test above; class 0 is reproduced exactly, and classes 2 and 3 are small."""
    real: np.ndarray = np.array([[0.0], [5.0], [1.0], [7.0], [10.0], [9.0], [0.5], [0.4], [90.0]])
    real_labels = np.array([1, 0, 1, 0, 1, 0, 2, 3, 0])
    fake: np.ndarray = np.array([[0.9], [5.0], [1.5], [9.0], [19.5], [7.0], [40.0], [3.0]])
    fake_labels = np.array([1, 0, 1, 0, 1, 0, 1, 2])
    arguments = fake, fake_labels, real, real_labels
    precision, recall, counts = distances.compute_class_precision_and_recall(*arguments, 3, neighbors=1)
    # The first three points only: not 90 of class 0, and not 40 of class 1. The balls of class 1 are 0.9 +- 0.6, 1.5 +-
    # 0.6 and 19.5 +- 18, which hold 1 and 10.
    np.testing.assert_allclose(precision, [1, 2 / 3, np.nan, np.nan])
    np.testing.assert_allclose(recall, [1, 2 / 3, np.nan, np.nan])
    np.testing.assert_array_equal(counts, [3, 3, 0, 0])
    assert distances.compute_class_precision_and_recall(*arguments, 4, neighbors=1)[2].tolist() == [0] * 4


def test_parts_of_the_matrix_of_distances_give_the_result_of_the_whole(monkeypatch):
    monkeypatch.setattr(squared_distances, "_MAX_DISTANCES_PER_THREAD", 100_000)
    fake, real = features(700, 3, seed=5), features(900, 3, seed=6)

    def compute_fraction_within(points: np.ndarray, centers: np.ndarray) -> float:
        radii = np.sort(scipy.spatial.distance.cdist(centers, centers), 1)[:, 3]
        return float(np.mean((scipy.spatial.distance.cdist(points, centers) <= radii * (1 + 1e-12)).any(1)))

    fractions = compute_fraction_within(fake, real), compute_fraction_within(real, fake)
    np.testing.assert_allclose(distances.compute_precision_and_recall(fake, real), fractions, atol=1e-3)
    cross, radii = scipy.spatial.distance.cdist(fake, real), np.sort(scipy.spatial.distance.cdist(real, real), 1)[:, 5]
    expected = np.sum(cross <= radii) / (5 * len(fake)), np.mean((cross <= radii).any(0))
    np.testing.assert_allclose(distances.compute_density_and_coverage(fake, real), expected, atol=1e-3)


def test_the_distance_within_classes_detects_swapped_classes():
    """The sets of all features are equal, but the features of each class are not."""
    first, second = features(200), features(200, seed=2) + 20.0
    real, labels = np.concatenate([first, second]), np.array([0, 1]).repeat(200)
    assert distances.compute_mean_class_distance(real, labels, real, labels) == 0.0
    swapped = distances.compute_mean_class_distance(real, 1 - labels, real, labels)
    expected = distances.compute_frechet_distance(moments(first), moments(second))
    np.testing.assert_allclose(swapped, expected, rtol=1e-9)


def test_a_singular_covariance_logs_nothing(capfd):
    """With fewer images than dimensions, a covariance is singular."""
    moments = compute_moments(np.random.default_rng(0).normal(size=(3, 8)))
    assert distances.compute_frechet_distance(moments, moments) == pytest.approx(0.0, abs=1e-12)
    assert "Cholesky" not in capfd.readouterr().err


@pytest.mark.skipif(len(list_usable_cores()) < 2, reason="needs two cores")
def test_squared_distances_use_the_cores_of_this_process(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(squared_distances, "_MAX_DISTANCES_PER_THREAD", 1)
    points: np.ndarray = np.zeros((4, 2), np.float32)
    cores = list_usable_cores()

    def count_threads() -> int:
        def find_thread(start: int, squares: np.ndarray) -> int:
            time.sleep(0.05)
            return threading.get_ident()

        return len(set(squared_distances.map_squared_distances(find_thread, points, points)))

    assert count_threads() > 1
    try:
        os.sched_setaffinity(0, cores[:1])
        assert count_threads() == 1
    finally:
        os.sched_setaffinity(0, cores)
