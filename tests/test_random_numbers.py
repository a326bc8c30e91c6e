"""Random numbers of images depend only on the seed and the row."""

import numpy as np
import tensorflow as tf

from sagan_tf.random_numbers import RandomNumbers


def make_numbers(*rows: int, seed: int = 3) -> RandomNumbers:
    return RandomNumbers(tf.constant([seed, 0], tf.int64), tf.constant(rows), 8)


def test_numbers_of_an_image_do_not_depend_on_the_part_of_the_batch():
    whole = make_numbers(*range(8))
    parts = [make_numbers(0, 1), make_numbers(2, 3, 4), make_numbers(5, 6, 7)]
    for draw in (lambda source: source.uniform((2,), -1.0, 1.0), lambda source: source.normal()):
        np.testing.assert_array_equal(draw(whole), np.concatenate([draw(part) for part in parts]))
        np.testing.assert_array_equal(draw(whole), draw(RandomNumbers.concatenate(parts)))
        assert len(np.unique(draw(whole))) == draw(whole).numpy().size


def test_streams_and_seeds_are_independent():
    source = make_numbers(*range(8))
    sources = (source, source.stream(0), source.stream(1), make_numbers(*range(8), seed=4))
    drawn = [each.uniform().numpy() for each in sources]
    assert len(np.unique(drawn)) == 4 * 8
    assert all(0 <= value < 1 for value in np.ravel(drawn))
