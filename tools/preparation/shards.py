"""One shard: the record file that holds one part of a data set."""

from __future__ import annotations

import dataclasses
import io
import os
from collections.abc import Callable

import numpy as np
import tensorflow as tf
from PIL import Image

from sagan_tf.data.sources.source import Source
from sagan_tf.data.sources.tfrecord import serialize_record
from tools.preparation.unfinished import FinishedShard, UnfinishedWork, sync

Report = Callable[[int, dict[str, str]], None]
"""Called with how many of a shard's records are done, and why images were left out so far, by name."""


@dataclasses.dataclass(frozen=True)
class Shard:
    """A shard that is to be written; can be sent to another process.

    Attributes:
        index: its number.
        file: name of its record file.
        part: its images.
        work: where it goes.
        image_format: jpeg or png.
        quality: of JPEG.
    """

    index: int
    file: str
    part: Source
    work: UnfinishedWork
    image_format: str
    quality: int


def write_shard(shard: Shard, report: Report) -> FinishedShard:
    """Write a shard, and then a note that it is finished.

    Raises:
        UserError: too many images are unreadable, or a record file is damaged.
        OSError: the file cannot be written.
    """
    part = shard.part
    class_counts: np.ndarray = np.zeros(len(part.class_names), np.int64)
    num_images = 0
    # The name is this process's own: one that has lost its parent and lives for another moment writes elsewhere.
    partial = shard.work.files / f"{shard.file}.{os.getpid()}.partial"
    try:
        with part.skipped.raise_user_errors(), tf.io.TFRecordWriter(str(partial)) as writer:
            for chunk in _chunks(part).as_numpy_iterator():
                for image, label, name in zip(chunk["image"], chunk["label"], chunk["name"], strict=True):
                    encoded = encode_image(image, shard.image_format, shard.quality)
                    writer.write(serialize_record(encoded, int(label), name))
                if part.class_names:
                    class_counts += np.bincount(chunk["label"], minlength=len(class_counts))
                num_images += len(chunk["label"])
                report(num_images + part.skipped.count, part.skipped.reasons)
    except tf.errors.OpError as error:  # which is no OSError
        raise OSError(error.message) from error
    finally:
        report(num_images + part.skipped.count, part.skipped.reasons)
    num_bytes = sync(partial)
    partial.replace(shard.work.files / shard.file)
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


def encode_image(image: np.ndarray, image_format: str, quality: int) -> bytes:
    """Encode uint8 [height, width, channels] as `jpeg`, colours at full resolution, or `png`."""
    encoded = io.BytesIO()
    picture = Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)
    if image_format == "png":
        picture.save(encoded, "PNG")
    else:
        picture.save(encoded, "JPEG", quality=quality, subsampling=0)
    return encoded.getvalue()


def _chunks(part: Source) -> tf.data.Dataset:
    """Return the images of a part, decoded while others are encoded."""
    options = tf.data.Options()
    options.threading.private_threadpool_size = 1  # many processes share the machine
    return part.stored_chunks(part.num_examples).prefetch(2).with_options(options)
