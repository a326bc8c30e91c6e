"""Decoding inside a `tf.data` map: images, without those that have to be left out."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import tensorflow as tf

from sagan_tf.data.images.preprocessing import UnreadableImageError, decode_image
from sagan_tf.data.sources.source import Source

CHUNK = 16
"""Images decoded in one call: a call into Python costs a tenth of a millisecond, as much as a small JPEG."""


def decode_readable(images: Iterable[tuple[Callable[[], bytes], str]], source: Source) -> tuple[np.ndarray, np.ndarray]:
    """Decode some images for a source.

    Args:
        images: for each a function that gives the encoded image (an `OSError` of it makes the image an unreadable one)
            and a name for the log: its path or that of its record.
        source: says which size and channels; its `skipped` records failures.

    Returns:
        The readable ones, uint8 [readable, resolution, resolution, image_channels], and which those are: int64
        [readable], places in `images`.

    Raises:
        UserError: too many images are unreadable.
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
    """Call `decode` within a `tf.data` map.

    It is declared to have no state, since otherwise TensorFlow's deterministic mode would decode one chunk at a time.

    Args:
        decode: Maps arrays to images uint8, places int64, labels int32 and names (bytes).
        inputs: What it is called with.

    Returns:
        These four as tensors of unknown shapes.
    """
    return tf.numpy_function(decode, inputs, (tf.uint8, tf.int64, tf.int32, tf.string), stateful=False)


def decoded_chunks(
    records: tf.data.Dataset, read: Callable[..., dict[str, tf.Tensor]], source: Source
) -> tf.data.Dataset:
    """Map records to examples in parallel, some in each call, and keep their order.

    Args:
        records: dataset of tuples.
        read: makes of up to `CHUNK` records (each part of the tuple stacked) the examples of `Source.chunks`.
        source: the source that the images are for.

    Returns:
        Dataset of examples as in `Source.chunks`.
    """
    shape = (None, source.resolution, source.resolution, source.image_channels)

    def shaped(*parts: tf.Tensor) -> dict[str, tf.Tensor]:
        examples = read(*parts)
        columns = {key: tf.ensure_shape(examples[key], [None]) for key in ("label", "position", "name")}
        return {"image": tf.ensure_shape(examples["image"], shape)} | columns

    return records.batch(CHUNK).map(shaped, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
