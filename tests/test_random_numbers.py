"""Random numbers of images are a function of the seed and the row."""

import numpy as np
import tensorflow as tf

from sagan_tf.random_numbers import RandomNumbers


def numbers(*rows: int, seed: int = 3) -> RandomNumbers:
    return RandomNumbers(tf.constant([seed, 0], tf.int64), tf.constant(rows), 8)


def test_an_image_gets_the_same_numbers_in_every_part_of_a_batch():
    whole = numbers(*range(8))
    parts = [numbers(0, 1), numbers(2, 3, 4), numbers(5, 6, 7)]
    for draw in (lambda one: one.uniform((2,), -1.0, 1.0), lambda one: one.normal()):
        np.testing.assert_array_equal(draw(whole), np.concatenate([draw(part) for part in parts]))
        np.testing.assert_array_equal(draw(whole), draw(RandomNumbers.concatenate(parts)))
        assert len(np.unique(draw(whole))) == draw(whole).numpy().size


def test_streams_and_seeds_are_independent():
    one = numbers(*range(8))
    drawn = [each.uniform().numpy() for each in (one, one.stream(0), one.stream(1), numbers(*range(8), seed=4))]
    assert len(np.unique(drawn)) == 4 * 8
    assert all(0 <= value < 1 for value in np.ravel(drawn))
