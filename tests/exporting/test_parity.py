"""Differences of images, compared with values calculated by hand."""

import numpy as np
import pytest
import tensorflow as tf

from sagan_tf.errors import UserError
from sagan_tf.exporting.parity import (
    compare_images,
    measure_discriminator_error,
    measure_saved_model_error,
    pool_pixels,
)
from tests.exporting.small_export import make_generator, save_discriminator

RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.uniform(-0.8, 0.8, (9, 8, 8, 1)).astype(np.float32)


def brightness(images: np.ndarray) -> np.ndarray:
    return images.mean(axis=(1, 2, 3)).reshape(-1, 1)


@pytest.mark.parametrize(("count", "contrast"), [(2, 0.8), (100, 0.8), (100, 1e-4)])
def test_rounding_gives_a_negligible_frechet_distance(count, contrast):
    """16 means that differ by at most 1e-7 have a squared distance of at most 16e-14; covariances differ as little."""
    images = RANDOM.uniform(-contrast, contrast, (count, 8, 8, 1)).astype(np.float32)
    assert compare_images(images, images, pool_pixels, "means").frechet_distance == 0.0
    changed = images + RANDOM.choice(np.float32([-1e-7, 1e-7]), images.shape)
    assert 0.0 <= compare_images(changed, images, pool_pixels, "means").frechet_distance < 1e-12


def test_errors_of_pixels_are_largest_and_mean():
    changed = IMAGES.copy()
    changed[3, 2, 1, 0] += 0.25
    changed[5, 0, 0, 0] -= 0.5
    found = compare_images(changed, IMAGES, pool_pixels, "means")
    assert found.max_error == pytest.approx(0.5) and found.mean_error == pytest.approx(0.75 / IMAGES.size)


def test_the_frechet_distance_in_one_dimension():
    """It is (m1 - m2)^2 + (s1 - s2)^2, with sample standard deviations."""
    changed = (1.5 * IMAGES + 0.1).astype(np.float32)
    first, second = brightness(changed.astype(np.float64)), brightness(IMAGES.astype(np.float64))
    expected = (first.mean() - second.mean()) ** 2 + (first.std(ddof=1) - second.std(ddof=1)) ** 2
    assert compare_images(changed, IMAGES, brightness, "").frechet_distance == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(("side", "channels"), [(32, 1), (8, 3), (4, 4)])
def test_pool_pixels_returns_the_means_of_regions(side, channels):
    images = RANDOM.uniform(-1.0, 1.0, (3, side, side, channels)).astype(np.float32)
    region = side // 4
    expected = images.reshape(3, 4, region, 4, region, channels).mean(axis=(2, 4)).reshape(3, -1)
    np.testing.assert_allclose(pool_pixels(images), expected, atol=1e-6)


def test_an_export_of_another_generator_is_an_error(exported, monkeypatch):
    monkeypatch.setattr(tf.saved_model, "load", lambda path: exported.model)  # loading takes seconds
    assert measure_saved_model_error(exported.path, exported.network, 3) < 1e-4
    changed = make_generator(exported.config)
    kernel = changed.get_layer("image").trainable_variables[0]
    kernel.assign(kernel + tf.ones_like(kernel))
    with pytest.raises(UserError, match="saved_model: "):
        measure_saved_model_error(exported.path, changed, 3)


@pytest.mark.parametrize("conditioning", ["projection", "auxiliary_classifier"])
def test_an_export_of_another_discriminator_is_an_error(conditioning, tmp_path, monkeypatch):
    exported = save_discriminator(tmp_path, conditioning=conditioning)
    monkeypatch.setattr(tf.saved_model, "load", lambda path: exported.model)
    assert measure_discriminator_error(exported.path, exported.network, 3) < 1e-4
    name = "class_logits" if conditioning == "auxiliary_classifier" else "logits"
    bias = exported.network.get_layer(name).trainable_variables[-1]
    bias.assign(bias + 1.0)
    with pytest.raises(UserError, match="discriminator: "):
        measure_discriminator_error(exported.path, exported.network, 3)
