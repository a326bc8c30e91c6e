"""An image is decoded or marked; nothing else ends the stream."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from sagan_tf.config import DataConfig
from sagan_tf.data.decoding import image_or_skip, readable_examples
from sagan_tf.data.source import Source
from sagan_tf.data.sources import open_source


@pytest.fixture
def source(class_folders: Path) -> Source:
    """A source of 12 images of which, against the rule, all may be unreadable."""
    opened = open_source(DataConfig(dataset="folder", data_dir=str(class_folders)), resolution=4, image_channels=3)
    opened.skipped = type(opened.skipped)(num_examples=10**6)
    return opened


def test_a_readable_image(source: Source) -> None:
    encoded = tf.io.encode_png(np.full((9, 9, 3), 7, np.uint8)).numpy()
    image, readable = image_or_skip(lambda: encoded, "name", source)
    assert readable
    np.testing.assert_array_equal(image, np.full((4, 4, 3), 7))
    assert source.skipped.count == 0


def test_an_unreadable_image(source: Source) -> None:
    image, readable = image_or_skip(lambda: b"no image", "name", source)
    assert not readable
    assert (image.shape, image.dtype) == ((4, 4, 3), np.uint8)
    assert source.skipped.names == ("name",)


def test_a_file_that_vanished(source: Source, tmp_path: Path) -> None:
    readable = image_or_skip((tmp_path / "gone.png").read_bytes, "gone", source)[1]
    assert not readable
    assert source.skipped.names == ("gone",)


def test_keeps_the_order_and_leaves_out_what_is_marked(source: Source) -> None:
    def read(position: tf.Tensor) -> dict[str, tf.Tensor]:
        image = tf.zeros([4, 4, 3], tf.uint8)
        example = {"image": image, "label": 0, "position": position, "name": "x"}
        return example | {"readable": position % 3 != 1}

    examples = readable_examples(tf.data.Dataset.range(8), read, source)
    assert [int(example["position"]) for example in examples] == [0, 2, 3, 5, 6]
    assert "readable" not in examples.element_spec
