"""Statistics that are accumulated batch by batch, against NumPy's on all images."""

import numpy as np
import pytest

from sagan_tf.features import statistics as module

ALL = (module.MOMENTS, module.PROBABILITIES, module.FEATURES, module.AGREEMENT)


def images() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return features [50, 6], logits [50, 4] and labels."""
    random = np.random.default_rng(1)
    features = random.normal(3.0, 2.0, size=(50, 6)).astype(np.float32)
    logits = random.normal(0.0, 3.0, size=(50, 4)).astype(np.float32)
    return features, logits, random.integers(0, 4, size=50).astype(np.int32)


def accumulate(
    max_images: int | None, required: tuple[str, ...], batch: int, max_features: int | None = None
) -> module.ImageSetStatistics:
    accumulator = module.StatisticsAccumulator(max_images, required, max_features)
    features, logits, labels = images()
    for start in range(0, 50, batch):
        rows = slice(start, start + batch)
        accumulator.add(features[rows], logits[rows], labels[rows])
    return accumulator.result()


def test_covariance_of_features_far_from_zero():
    """With a mean of 1e9 times the deviation, only the digits that the features have lost are lost."""
    features: np.ndarray = 1e9 + np.random.default_rng(1).normal(size=(1000, 3))
    statistics = module.FeatureStatistics(3)
    for start in range(0, 1000, 100):
        statistics.add(features[start : start + 100])
        statistics.add(features[:0])  # an empty batch changes nothing
    np.testing.assert_allclose(statistics.covariance, np.cov(features - 1e9, rowvar=False), rtol=1e-9, atol=1e-9)


def test_probabilities_in_float64_and_without_overflow():
    logits = np.array([[1e4, 0.0, -1e4], [0.0, 0.0, 0.0]], np.float32)
    statistics = module.ProbabilityStatistics(3)
    statistics.add(logits[:1])
    statistics.add(logits[1:])
    np.testing.assert_allclose(statistics.mean, [(1 + 1 / 3) / 2, 1 / 6, 1 / 6], rtol=1e-12)
    np.testing.assert_allclose(statistics.mean_negative_entropy, -np.log(3) / 2, rtol=1e-12)


@pytest.mark.parametrize("batch", [1, 8, 50])
@pytest.mark.parametrize("max_images", [None, 20])
def test_statistics_of_the_first_images_do_not_depend_on_the_batch_size(max_images, batch):
    features, logits, labels = (array[:max_images] for array in images())
    found = accumulate(max_images, ALL, batch)
    assert found.count == found.moments.count == found.probabilities.count == (max_images or 50)
    np.testing.assert_array_equal(found.features, features)
    np.testing.assert_array_equal(found.labels, labels)
    np.testing.assert_allclose(found.moments.mean, features.astype(np.float64).mean(0), rtol=1e-12)
    np.testing.assert_allclose(found.moments.covariance, np.cov(features.astype(np.float64), rowvar=False), rtol=1e-10)
    agrees = logits.argmax(1) == labels
    assert found.agreement == np.mean(agrees)
    classes = range(labels.max() + 1)
    class_agreement = [np.mean(agrees[labels == label]) if label in labels else np.nan for label in classes]
    np.testing.assert_array_equal(found.class_agreement, class_agreement)


def test_moments_are_of_all_images_and_features_of_the_first():
    """Statistics that are not required are empty."""
    found = accumulate(None, (module.MOMENTS, module.FEATURES), 8, max_features=19)
    np.testing.assert_array_equal(found.features, images()[0][:19])
    assert len(found.labels) == 19 and found.moments.count == found.count == 50
    assert found.probabilities.count == 0 and np.isnan(found.agreement)
    assert accumulate(None, (module.PROBABILITIES,), 10).features.size == 0
