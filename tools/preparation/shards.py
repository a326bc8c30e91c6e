"""Record file of one shard, which is a part of a data set."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tensorflow as tf
from PIL import Image

from sagan_tf.data.sources.source import Source
from sagan_tf.data.sources.tfrecord import serialize_record
from sagan_tf.files import replace_atomically
from tools.preparation.unfinished import FinishedShard, UnfinishedWork, flush_to_disk

Report = Callable[[int, dict[str, str]], None]
"""Function of the number of a shard's finished records, and of the reasons why images were skipped, by name."""


@dataclasses.dataclass(frozen=True)
class Shard:
    """Shard to be written; it can be sent to another process.

    Attributes:
        index: Number of the shard.
        file: Name of its record file.
        part: Its images.
        work: Work to which it belongs.
        image_format: jpeg or png.
        quality: JPEG quality.
    """

    index: int
    file: str
    part: Source
    work: UnfinishedWork
    image_format: str
    quality: int


def write_shard(shard: Shard, report: Report) -> FinishedShard:
    """Write a shard, and then a record that it is finished.

    Raises:
        UserError: Too many images are unreadable, or a record file is damaged.
        OSError: The file cannot be written.
    """
    part = shard.part
    # shared: a process that outlives its parent for a moment writes to another temporary file.
    with replace_atomically(shard.work.files / shard.file, shared=True) as temporary:
        num_images, class_counts = _write_records(shard, temporary, report)
        num_bytes = flush_to_disk(temporary)
    finished = FinishedShard(
        index=shard.index,
        file=shard.file,
        num_bytes=num_bytes,
        num_records=part.num_examples,
        num_images=num_images,
        class_counts=tuple(class_counts.tolist()),
        skipped=part.skipped.reasons,
    )
    shard.work.finish(finished)
    return finished


def _write_records(shard: Shard, path: Path, report: Report) -> tuple[int, np.ndarray]:
    """Write the images of a shard; return their number and that of each class."""
    part, num_images = shard.part, 0
    class_counts: np.ndarray = np.zeros(len(part.class_names), np.int64)
    try:
        with part.skipped.raise_user_errors(), tf.io.TFRecordWriter(str(path)) as writer:
            for chunk in _create_chunk_dataset(part).as_numpy_iterator():
                for image, label, name in zip(chunk["image"], chunk["label"], chunk["name"], strict=True):
                    encoded = encode_image(image, shard.image_format, shard.quality)
                    writer.write(serialize_record(encoded, int(label), name))
                if part.class_names:
                    class_counts += np.bincount(chunk["label"], minlength=len(class_counts))
                num_images += len(chunk["label"])
                report(num_images + part.skipped.count, part.skipped.reasons)
    except tf.errors.OpError as error:  # not a subclass of OSError
        raise OSError(error.message) from error
    finally:
        report(num_images + part.skipped.count, part.skipped.reasons)
    return num_images, class_counts


def encode_image(image: np.ndarray, image_format: str, quality: int) -> bytes:
    """Encode an image.

    Args:
        image: uint8 [height, width, channels].
        image_format: `jpeg`, with colors at full resolution, or `png`.
        quality: JPEG quality.

    Returns:
        The encoded image.
    """
    encoded = io.BytesIO()
    pil_image = Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)
    if image_format == "png":
        pil_image.save(encoded, "PNG")
    else:
        pil_image.save(encoded, "JPEG", quality=quality, subsampling=0)
    return encoded.getvalue()


def _create_chunk_dataset(part: Source) -> tf.data.Dataset:
    """Return the images of a part, decoded in parallel with encoding."""
    options = tf.data.Options()
    options.threading.private_threadpool_size = 1  # many processes share the machine
    return part.stored_chunks(part.num_examples).prefetch(2).with_options(options)
