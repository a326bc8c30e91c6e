"""Preprocessing of images for the network of an extractor."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from sagan_tf.errors import UserError
from sagan_tf.features.extractor import Extractor, ExtractorOutputs
from tests.features.fake_extractors import random_images, resize_with_pillow


def pixel_extractor(size: tuple[int, int] | None = None, channels: int | None = None) -> Extractor:
    """Return an extractor whose outputs are the images of its network."""
    return Extractor("pixels", "pixels/0", size, channels, (), lambda images: ExtractorOutputs(images, images))


def preprocess(images: tf.Tensor, *, size: tuple[int, int] | None = None, channels: int | None = None) -> np.ndarray:
    return pixel_extractor(size, channels)(images).features.numpy()


def test_pixels_are_scaled_to_the_range_of_tanh() -> None:
    pixels = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1)
    found = preprocess(tf.constant(pixels))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found[0, :, :, 0].ravel(), np.linspace(-1.0, 1.0, 256), atol=1e-6)
    assert (found.min(), found.max()) == (-1.0, 1.0)


@pytest.mark.parametrize("size", [(32, 32), (19, 31), (7, 9), (5, 40), (30, 6), (16, 11)])
def test_resizing_is_bilinear_with_half_pixel_centers(size: tuple[int, int]) -> None:
    images = random_images(16, 16)
    np.testing.assert_allclose(preprocess(images, size=size), resize_with_pillow(images, size), atol=2e-6)


@pytest.mark.parametrize("size", [None, (16, 12)])
def test_images_of_the_right_size_are_not_resized(size: tuple[int, int] | None) -> None:
    images = random_images(16, 12)
    np.testing.assert_array_equal(preprocess(images, size=size), tf.cast(images, tf.float32) / 127.5 - 1.0)


@pytest.mark.parametrize(("channels", "expected"), [(3, 3), (1, 1), (None, 1)])
def test_gray_images_are_repeated_for_color_networks(channels: int | None, expected: int) -> None:
    images = random_images(6, 6, channels=1)
    found = preprocess(images, channels=channels)
    np.testing.assert_array_equal(found, np.repeat(preprocess(images), expected, axis=-1))


def test_an_extractor_can_be_compiled() -> None:
    images = random_images(8, 8, channels=1)
    extractor = pixel_extractor((5, 5), 3)
    np.testing.assert_allclose(tf.function(extractor)(images).features, extractor(images).features, atol=1e-6)


@pytest.mark.parametrize(("size", "words"), [(None, "its own size"), ((5, 6), "5x6")])
def test_description_of_the_preprocessing(size: tuple[int, int] | None, words: str) -> None:
    """A changed text would make stored references unusable."""
    assert pixel_extractor(size).preprocessing == (
        f"uint8, scaled to [-1, 1], bilinear (half-pixel centres, antialiased when reduced) to {words}"
    )


@pytest.mark.parametrize(("channels", "given"), [(None, 1), (None, 4), (1, 1), (3, 3), (3, 1), (4, 4)])
def test_matching_channels_are_accepted(channels: int | None, given: int) -> None:
    extractor = pixel_extractor(channels=channels)
    extractor.check_channels(given)
    assert extractor(random_images(4, 4, channels=given)).features.shape[-1] == (channels or given)


@pytest.mark.parametrize(("channels", "given"), [(1, 3), (3, 4), (4, 1), (4, 3), (1, 4)])
def test_other_channels_are_rejected(channels: int, given: int) -> None:
    with pytest.raises(UserError, match=f"^extractor: .* {channels} channels .*pixels, received {given}$"):
        pixel_extractor(channels=channels).check_channels(given)
