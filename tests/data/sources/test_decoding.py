"""Images are decoded or left out; an unreadable image never ends the stream."""

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from sagan_tf.config import DataConfig
from sagan_tf.data.sources.decoding import MAX_CHUNK_IMAGES, decode_chunks, decode_in_python, decode_readable_images
from sagan_tf.data.sources.registry import open_source
from sagan_tf.data.sources.source import Source


@pytest.fixture
def source(class_directories: Path) -> Source:
    """A source of 12 images with a limit that allows all of them to be unreadable."""
    opened = open_source(DataConfig(dataset="folder", data_dir=str(class_directories)), resolution=4, image_channels=3)
    opened.skipped = type(opened.skipped)(num_examples=10**6)
    return opened


def png(value: int) -> bytes:
    return tf.io.encode_png(np.full((9, 9, 3), value, np.uint8)).numpy()


def test_readable_images(source: Source) -> None:
    images, readable = decode_readable_images([(lambda: png(7), "a"), (lambda: png(8), "b")], source)
    np.testing.assert_array_equal(images, np.broadcast_to([[[[7]]], [[[8]]]], (2, 4, 4, 3)))
    assert images.dtype == np.uint8 and readable.tolist() == [0, 1]
    assert source.skipped.count == 0


def test_unreadable_image_and_deleted_file(source: Source, tmp_path: Path) -> None:
    files = [(lambda: b"no image", "damaged"), (lambda: png(7), "a"), ((tmp_path / "x.png").read_bytes, "gone")]
    images, readable = decode_readable_images(files, source)
    assert (images.shape, readable.tolist()) == ((1, 4, 4, 3), [1])
    assert source.skipped.names == ("damaged", "gone")
    images, readable = decode_readable_images(files[:1], source)
    assert images.shape == (0, 4, 4, 3) and images.dtype == np.uint8
    assert readable.shape == (0,) and readable.dtype == np.int64


def test_decoding_is_stateless() -> None:
    """Otherwise TensorFlow's deterministic mode would decode one chunk at a time."""
    function = tf.function(lambda number: decode_in_python(lambda number: number, [number]), autograph=False)
    operations = function.get_concrete_function(tf.TensorSpec([], tf.int64)).graph.get_operations()
    assert [op.op_def.is_stateful for op in operations if "PyFunc" in op.type] == [False]


def test_keeps_the_order_when_images_are_left_out(source: Source) -> None:
    """Some chunks are shorter, and one chunk is empty."""

    def read(positions: tf.Tensor) -> dict[str, tf.Tensor]:
        left_out = (positions % 3 == 1) | (positions // MAX_CHUNK_IMAGES == 1)
        kept = tf.boolean_mask(positions, ~left_out)
        image = tf.cast(tf.broadcast_to(kept[:, None, None, None], [tf.size(kept), 4, 4, 3]), tf.uint8)
        return {"image": image, "label": kept, "position": kept, "name": tf.strings.as_string(kept)}

    chunks = decode_chunks(tf.data.Dataset.range(100), read, source)
    expected = [position for position in range(100) if position % 3 != 1 and position // MAX_CHUNK_IMAGES != 1]
    assert [int(example["position"]) for example in chunks.unbatch()] == expected
    for batch in chunks.rebatch(7):
        np.testing.assert_array_equal(batch["image"][:, 3, 3, 2], batch["position"])
    assert 0 in [len(chunk["label"]) for chunk in chunks]
