"""Decoding inside a `tf.data` map: an image, or a mark that it has to be left out."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from sagan_tf.data.preprocessing import UnreadableImageError, decode_image
from sagan_tf.data.source import Source


def image_or_skip(read: Callable[[], bytes], name: str, source: Source) -> tuple[np.ndarray, np.bool_]:
    """Decodes an image for a source.

    Args:
        read: gives the encoded image; an `OSError` of it makes the image an unreadable one.
        name: path or record name, for the log.
        source: says which size and channels; its `skipped` records failures.

    Returns:
        uint8 [resolution, resolution, image_channels] and whether it could be read; zeros if not.

    Raises:
        UserError: too many images are unreadable.
    """
    try:
        image = decode_image(read(), resolution=source.resolution, image_channels=source.image_channels)
        return image, np.bool_(True)
    except (UnreadableImageError, OSError) as error:
        source.skipped.add(name, str(error))
        return np.zeros((source.resolution, source.resolution, source.image_channels), np.uint8), np.bool_(False)


def readable_examples(
    records: tf.data.Dataset, read: Callable[..., dict[str, tf.Tensor]], source: Source
) -> tf.data.Dataset:
    """Maps records to examples in parallel, keeps their order and leaves out the unreadable ones.

    Args:
        records: dataset of tuples.
        read: makes of a record (its parts as arguments) the example of `Source.examples` with one more key,
            "readable": bool scalar.
        source: the source that the images are for.

    Returns:
        Dataset of examples without "readable", with static shapes.
    """
    shape = (source.resolution, source.resolution, source.image_channels)

    def without_mark(example: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        return {
            "image": tf.ensure_shape(example["image"], shape),
            "label": example["label"],
            "position": example["position"],
            "name": example["name"],
        }

    examples = records.map(read, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    return examples.filter(lambda example: example["readable"]).map(without_mark)
