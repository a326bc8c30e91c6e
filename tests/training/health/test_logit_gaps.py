"""Tests of differences of mean logits within classes against closed forms."""

import numpy as np
import pytest

from sagan_tf.training.health.logit_gaps import compute_gap_within_classes


def test_compute_gap_within_classes():
    first, first_labels = np.array([5.0, 1.0, 3.0, 9.0]), np.array([0, 1, 1, 4])
    second, second_labels = np.array([1.0, 1.0, 4.0, 0.0, 7.0, 2.0]), np.array([1, 0, 0, 1, 3, 1])
    # Class 0: 5 - 2.5, class 1: 2 - 1; only one set has classes 3 and 4.
    gap = compute_gap_within_classes(first, first_labels, second, second_labels, weighted_by=second_labels)
    assert gap is not None and gap.mean == pytest.approx((2 * 2.5 + 3 * 1.0) / 5)
    # Squared deviations 0, 4.5, 2 and 2 on 8 - 4 degrees of freedom.
    assert gap.error == pytest.approx(np.sqrt(8.5 / 4 * (0.4**2 * (1 + 1 / 2) + 0.6**2 * (1 / 2 + 1 / 3))))
    assert (
        compute_gap_within_classes(first, first_labels, second, second_labels + 10, weighted_by=second_labels) is None
    )


def test_the_standard_error_equals_that_of_repeated_samples():
    random = np.random.default_rng(0)
    labels: np.ndarray = np.arange(40) % 3
    gaps = [
        compute_gap_within_classes(random.normal(2, 3, 40), labels, random.normal(0, 3, 40), labels, weighted_by=labels)
        for _ in range(2000)
    ]
    means, errors = np.array([gap for gap in gaps if gap is not None]).T
    assert means.mean() == pytest.approx(2, abs=0.05)
    assert errors.mean() == pytest.approx(means.std(), rel=0.05)


def test_classes_are_weighted_by_the_given_labels():
    first, first_labels = np.array([5.0, 1.0, 3.0, 9.0]), np.array([0, 1, 1, 2])
    second, second_labels = np.zeros(3), np.array([0, 1, 2])
    weighted_by = np.array([0, 0, 0, 1, 7])  # class 2 has no weight
    gap = compute_gap_within_classes(first, first_labels, second, second_labels, weighted_by=weighted_by)
    assert gap is not None and gap.mean == pytest.approx((3 * 5 + 1 * 2) / 4)
