"""Preprocessing of images for the network of an extractor."""

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


def test_pixels_are_scaled_to_the_range_of_tanh():
    pixels: np.ndarray = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1)
    found = preprocess(tf.constant(pixels), size=(16, 16))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found[0, :, :, 0].ravel(), np.linspace(-1.0, 1.0, 256), atol=1e-6)
    assert (found.min(), found.max()) == (-1.0, 1.0)


@pytest.mark.parametrize("size", [(32, 32), (19, 31), (7, 9), (5, 40), (30, 6), (16, 11)])
def test_resizing_is_bilinear_with_half_pixel_centers(size):
    images = random_images(16, 16)
    np.testing.assert_allclose(preprocess(images, size=size), resize_with_pillow(images, size), atol=2e-6)


@pytest.mark.parametrize(("channels", "given"), [(None, 1), (None, 4), (1, 1), (3, 3), (3, 1), (4, 4)])
def test_matching_channels_are_accepted(channels, given):
    """Gray images are repeated for color networks."""
    extractor, images = pixel_extractor(channels=channels), random_images(4, 4, channels=given)
    extractor.check_channels(given)
    expected = np.repeat(preprocess(images), (channels or given) // given, axis=-1)
    np.testing.assert_array_equal(extractor(images).features, expected)


@pytest.mark.parametrize(("channels", "given"), [(1, 3), (3, 4), (4, 1), (4, 3), (1, 4)])
def test_other_channels_are_rejected(channels, given):
    with pytest.raises(UserError, match=f"^extractor: .* {channels} channels .*pixels, received {given}$"):
        pixel_extractor(channels=channels).check_channels(given)
