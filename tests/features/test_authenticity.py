"""Authenticity: relative distances by hand and by brute force, copies and new points."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from sagan_tf.features.authenticity import compute_authenticity, compute_relative_distances


def test_relative_distances_by_hand():
    """On a line, the nearest other training points of 0, 1, 3 and 10 are at 1, 1, 2 and 7, and 50 occurs twice."""
    training = np.array([[0.0], [1.0], [3.0], [10.0], [50.0], [50.0]])
    points = np.array([[-0.5], [1.0], [4.5], [24.0], [50.0], [49.0]])
    found = compute_relative_distances(points, training)
    np.testing.assert_allclose(found, [0.5, 0.0, 0.75, 2.0, 0.0, np.inf])


def test_relative_distances_are_those_of_brute_force():
    points, training = (np.random.default_rng(seed).normal(size=(20 + 20 * seed, 12)) for seed in (1, 2))
    cross, within = cdist(points, training), cdist(training, training)
    nearest = cross.argmin(1)
    expected = cross.min(1) / np.sort(within, 1)[nearest, 1]
    np.testing.assert_allclose(compute_relative_distances(points, training), expected, rtol=1e-9)


def test_copies_of_training_images_are_found_and_held_out_images_are_not():
    random = np.random.default_rng(0)
    training, held_out, fresh = (random.normal(size=(count, 4)) for count in (600, 300, 400))
    copies = training[:400] + 1e-3 * random.normal(size=(400, 4))
    assert compute_authenticity(copies, training, held_out)["authenticity"] == 0.0
    assert compute_authenticity(copies, training, held_out)["near_copies"] == 1.0
    values = compute_authenticity(fresh, training, held_out)
    assert values["authenticity"] == pytest.approx(values["held_out"], abs=0.08) and values["near_copies"] < 0.03
    mixed = compute_authenticity(np.concatenate([fresh[:360], copies[:40]]), training, held_out)
    assert mixed["near_copies"] == pytest.approx(0.1, abs=0.03)
    assert mixed["authenticity"] < values["authenticity"]
