"""Authenticity: relative distances by hand and by brute force, copies and new points."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from sagan_tf.features.authenticity import compute_authenticity, compute_relative_distances


def test_relative_distances_by_hand():
    """On a line, the nearest different training points of 0, 1, 3, 10 and 50 are at 1, 1, 2, 7 and 40."""
    training = np.array([[0.0], [1.0], [3.0], [10.0], [50.0], [50.0]])
    points = np.array([[-0.5], [1.0], [4.5], [24.0], [50.0], [49.0]])
    found = compute_relative_distances(points, training)
    np.testing.assert_allclose(found, [0.5, 0.0, 0.75, 2.0, 0.0, 0.025])


def test_near_copies_of_a_training_image_that_occurs_twice_are_found():
    """Features of training images of which half occur twice, and near copies of these."""
    random = np.random.default_rng(3)
    training, held_out = random.normal(size=(200, 4)), random.normal(size=(200, 4))
    values = compute_authenticity(training[:100] + 1e-6, np.concatenate([training, training[:100]]), held_out)
    assert values["authenticity"] == 0.0 and values["near_copies"] == 1.0
    assert compute_relative_distances(np.ones((1, 2)), np.zeros((3, 2))).tolist() == [np.inf]


@pytest.mark.parametrize(("count", "num_copies", "value"), [(100, 0, None), (99, 0, "99"), (100, 2, "exact")])
def test_an_uncertain_limit_of_near_copies_leads_to_a_warning(count, num_copies, value, caplog):
    random = np.random.default_rng(4)
    training, held_out = random.normal(size=(200, 4)), random.normal(size=(count, 4))
    held_out[:num_copies] = training[:num_copies]
    compute_authenticity(training, training, held_out)
    assert [value in message for message in caplog.messages] == ([] if value is None else [True])


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
