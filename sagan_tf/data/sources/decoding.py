"""Decoding in a `tf.data` map: images are decoded in parallel, and unreadable ones are left out."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import tensorflow as tf

from sagan_tf.data.images.preprocessing import UnreadableImageError, decode_image
from sagan_tf.data.sources.source import Source

MAX_CHUNK_IMAGES = 16
"""Images decoded in one call. A call into Python costs a tenth of a millisecond, as much as a small JPEG."""


def decode_readable_images(
    images: Iterable[tuple[Callable[[], bytes], str]], source: Source
) -> tuple[np.ndarray, np.ndarray]:
    """Decode images for a source, without the unreadable ones.

    Args:
        images: For each image a function that returns the encoded image, and a name for the log: the path of the image
            or of its record. An `OSError` of the function makes the image an unreadable one.
        source: The source, which has the size and the channels. Its `skipped` records failures.

    Returns:
        The readable images, uint8 [readable, resolution, resolution, image_channels], and their indices in `images`,
        int64 [readable].

    Raises:
        UserError: Too many images are unreadable.
    """
    decoded, places = [], []
    for place, (read, name) in enumerate(images):
        try:
            image = decode_image(read(), resolution=source.resolution, image_channels=source.image_channels)
        except (UnreadableImageError, OSError) as error:
            source.skipped.add(name, str(error))
        else:
            decoded.append(image)
            places.append(place)
    shape = (len(decoded), source.resolution, source.resolution, source.image_channels)
    return np.array(decoded, np.uint8).reshape(shape), np.array(places, np.int64)


def decode_in_python(
    decode: Callable[..., tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]], inputs: list[tf.Tensor]
) -> list[tf.Tensor]:
    """Call a Python function that decodes images in a `tf.data` map.

    The call is declared as stateless. Otherwise TensorFlow's deterministic mode would decode one chunk at a time.

    Args:
        decode: Maps arrays to images uint8, indices int64, labels int32 and names (bytes).
        inputs: The arguments of `decode`.

    Returns:
        The four results as tensors of unknown shapes.
    """
    return tf.numpy_function(decode, inputs, (tf.uint8, tf.int64, tf.int32, tf.string), stateful=False)


def decode_chunks(
    records: tf.data.Dataset, read: Callable[..., dict[str, tf.Tensor]], source: Source
) -> tf.data.Dataset:
    """Map records to examples in parallel, several in each call, and keep their order.

    Args:
        records: A dataset of tuples.
        read: Maps up to `MAX_CHUNK_IMAGES` records (each part of the tuple stacked) to the examples of `Source.chunks`.
        source: The source of the images.

    Returns:
        A dataset of examples as in `Source.chunks`.
    """
    shape = (None, source.resolution, source.resolution, source.image_channels)

    def read_with_shapes(*parts: tf.Tensor) -> dict[str, tf.Tensor]:
        examples = read(*parts)
        columns = {key: tf.ensure_shape(examples[key], [None]) for key in ("label", "position", "name")}
        return {"image": tf.ensure_shape(examples["image"], shape)} | columns

    return records.batch(MAX_CHUNK_IMAGES).map(
        read_with_shapes, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True
    )
