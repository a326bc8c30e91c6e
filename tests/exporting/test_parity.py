"""Differences of pictures against numbers worked out by hand."""

from __future__ import annotations

import pathlib

import numpy as np
import pytest
import tensorflow as tf

from sagan_tf.errors import UserError
from sagan_tf.exporting.parity import compare, pooled_pixels, saved_model_error
from tests.exporting.small_export import save_generator

RANDOM = np.random.default_rng(0)
PICTURES = RANDOM.uniform(-0.8, 0.8, (9, 8, 8, 1)).astype(np.float32)


def brightness(images: np.ndarray) -> np.ndarray:
    return images.mean(axis=(1, 2, 3)).reshape(-1, 1)


def test_equal_pictures_differ_in_nothing() -> None:
    found = compare(PICTURES, PICTURES.copy(), pooled_pixels, "means")
    assert (found.max_error, found.mean_error, found.num_samples, found.features) == (0.0, 0.0, 9, "means")
    assert found.frechet_distance == 0.0


@pytest.mark.parametrize(("count", "contrast"), [(4, 0.8), (100, 0.8), (100, 1e-2), (100, 1e-4)])
def test_pictures_that_differ_by_rounding_are_as_near(count: int, contrast: float) -> None:
    """16 means that differ by at most 1e-7 are at a squared distance of at most 16e-14, and covariances as near."""
    pictures = RANDOM.uniform(-contrast, contrast, (count, 8, 8, 1)).astype(np.float32)
    other = pictures + RANDOM.choice(np.float32([-1e-7, 1e-7]), pictures.shape)
    assert 0.0 <= compare(other, pictures, pooled_pixels, "means").frechet_distance < 1e-12


def test_errors_of_pixels() -> None:
    other = PICTURES.copy()
    other[3, 2, 1, 0] += 0.25
    other[5, 0, 0, 0] -= 0.5
    found = compare(other, PICTURES, pooled_pixels, "means")
    assert found.max_error == pytest.approx(0.5) and found.mean_error == pytest.approx(0.75 / PICTURES.size)


def test_the_frechet_distance_of_two_brightnesses() -> None:
    """In one dimension: (m1 - m2)^2 + (s1 - s2)^2, with sample deviations."""
    other = (1.5 * PICTURES + 0.1).astype(np.float32)
    first, second = brightness(other.astype(np.float64)), brightness(PICTURES.astype(np.float64))
    expected = (first.mean() - second.mean()) ** 2 + (first.std(ddof=1) - second.std(ddof=1)) ** 2
    assert compare(other, PICTURES, brightness, "").frechet_distance == pytest.approx(expected, rel=1e-4)


def test_pictures_that_are_all_brighter() -> None:
    """By 0.1 in each of 16 means, of the same covariance: 16 * 0.1^2."""
    found = compare(PICTURES + np.float32(0.1), PICTURES, pooled_pixels, "means")
    assert found.frechet_distance == pytest.approx(0.16, rel=1e-3)


@pytest.mark.parametrize(("side", "channels"), [(32, 1), (8, 3), (4, 4)])
def test_means_of_parts(side: int, channels: int) -> None:
    images = RANDOM.uniform(-1.0, 1.0, (3, side, side, channels)).astype(np.float32)
    part = side // 4
    expected = images.reshape(3, 4, part, 4, part, channels).mean(axis=(2, 4)).reshape(3, -1)
    np.testing.assert_allclose(pooled_pixels(images), expected, atol=1e-6)


def test_two_pictures_are_enough() -> None:
    found = compare(PICTURES[:2] + np.float32(0.1), PICTURES[:2], pooled_pixels, "means")
    assert np.isfinite(found.frechet_distance) and found.num_samples == 2


def test_an_export_of_another_generator_is_noticed(tmp_path: pathlib.Path) -> None:
    exported = save_generator(tmp_path)
    assert saved_model_error(exported.path, exported.network, 3) < 1e-4
    kernel = exported.network.get_layer("image").trainable_variables[0]
    kernel.assign(kernel + tf.ones_like(kernel))
    with pytest.raises(UserError, match="saved_model: .*CUDA_VISIBLE_DEVICES=-1"):
        saved_model_error(exported.path, exported.network, 3)
