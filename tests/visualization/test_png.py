"""Tests of PNG encoding in a graph."""

from __future__ import annotations

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from sagan_tf.visualization.png import encode_pngs


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_decoded_pixels_are_exact(channels: int) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (3, 8, 6, channels), np.uint8)
    for file, expected in zip(encode_pngs(tf.constant(pixels)).numpy(), pixels, strict=True):
        np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(file))).reshape(expected.shape), expected)
