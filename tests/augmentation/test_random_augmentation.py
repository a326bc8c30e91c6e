"""Augmentation of a batch with separate random numbers for each image."""

import numpy as np
import pytest
import tensorflow as tf

from sagan_tf.augmentation import AUGMENTATIONS
from sagan_tf.augmentation.random_augmentation import OccasionalAugmentation, RandomAugmentation
from sagan_tf.random_numbers import RandomNumbers
from tests.augmentation.oracle import ORACLES

ROWS = 1000
IMAGES = np.random.default_rng(3).uniform(-1, 1, (ROWS, 16, 16, 3)).astype(np.float32)


def make_numbers(*rows: int, seed: int = 5) -> RandomNumbers:
    return RandomNumbers(tf.constant([seed, 0], tf.int64), tf.constant(rows or range(ROWS), tf.int32), ROWS)


@pytest.mark.parametrize("names", [("color", "translation", "cutout", "flip"), ("cutout", "color")])
def test_augmentations_are_applied_in_sequence(names: tuple[str, ...]) -> None:
    augmented = RandomAugmentation([AUGMENTATIONS[name] for name in names])(IMAGES[:3], make_numbers(0, 1, 2))
    expected = IMAGES[:3].astype(np.float64)
    for index, name in enumerate(names):
        draws = make_numbers(0, 1, 2).stream(index).stream(0).uniform([AUGMENTATIONS[name].num_draws]).numpy()
        expected = np.stack([ORACLES[name](*pair) for pair in zip(expected, draws, strict=True)])
    np.testing.assert_allclose(augmented, expected, atol=5e-6)


@pytest.mark.parametrize("probability", [None, 0.5])
def test_augmentation_of_an_image_does_not_depend_on_the_part_of_the_batch(probability: float | None) -> None:
    chosen = tuple(AUGMENTATIONS.values())
    augment = OccasionalAugmentation(chosen, lambda: probability) if probability else RandomAugmentation(chosen)
    whole = augment(IMAGES, make_numbers()).numpy()
    np.testing.assert_array_equal(augment(IMAGES[7:9], make_numbers(7, 8)), whole[7:9])
    assert np.abs(augment(IMAGES[7:9], make_numbers(8, 7)) - whole[7:9]).max() > 0.1
    assert np.abs(augment(IMAGES[7:9], make_numbers(7, 8, seed=6)) - whole[7:9]).max() > 0.1


def test_each_augmentation_has_its_own_random_make_numbers() -> None:
    twice = RandomAugmentation([AUGMENTATIONS["flip"]] * 2)(IMAGES, make_numbers())
    unchanged = np.all(twice == IMAGES, axis=(1, 2, 3))
    assert 0.3 < unchanged.mean() < 0.7  # 1, if both flips were of the same images


def test_probabilities_0_and_1() -> None:
    chosen = tuple(AUGMENTATIONS.values())
    always = OccasionalAugmentation(chosen, lambda: tf.constant(1.0))(IMAGES, make_numbers())
    np.testing.assert_array_equal(always, RandomAugmentation(chosen)(IMAGES, make_numbers()))
    never = OccasionalAugmentation(chosen, lambda: tf.constant(0.0))(IMAGES, make_numbers())
    np.testing.assert_array_equal(never, IMAGES)


def test_probability_is_independent_for_each_augmentation_and_image() -> None:
    chosen = [AUGMENTATIONS["color"], AUGMENTATIONS["cutout"]]
    augmented = OccasionalAugmentation(chosen, lambda: tf.constant(0.3))(IMAGES, make_numbers()).numpy()
    is_cut = np.mean(augmented == 0, axis=(1, 2, 3)) > 0.05
    is_colored = np.any((augmented != IMAGES) & (augmented != 0), axis=(1, 2, 3))
    for share, expected in ((is_cut, 0.3), (is_colored, 0.3), (is_cut & is_colored, 0.09)):
        assert abs(share.mean() - expected) < 0.06  # standard deviation at most 0.015
