"""What training reads: images, bytes and processor cores a second."""

from __future__ import annotations

import dataclasses
import statistics

from sagan_tf.config import ModelConfig
from sagan_tf.data.images.preprocessing import decode_image
from sagan_tf.data.sources.tfrecord import serialize_record
from tools.benchmarks.pipeline_data import create_photograph, encode_jpeg
from tools.preparation.shards import encode_image
from tools.prepare_imagenet import parse_arguments

_SAMPLES = 8
_RECORD_FRAME_BYTES = 16  # a record's length and two checksums
_NAME = b"n01440764/n01440764_10026.JPEG"

# README, "Speed": `tools/benchmark.py pipeline` on two cores, at 128 px from JPEGs of 500 x 375 pixels.
ORIGINAL_IMAGES_PER_CORE = 1126 / 2
PREPARED_IMAGES_PER_CORE = 4790 / 2


@dataclasses.dataclass(frozen=True)
class ImageInput:
    """What images come from.

    Attributes:
        name: of the files.
        image_bytes: of one, on average.
        images_per_core: a second.
    """

    name: str
    image_bytes: float
    images_per_core: float

    def bytes_per_second(self, images_per_second: float) -> float:
        """Read from disks or the network."""
        return images_per_second * self.image_bytes

    def cores(self, images_per_second: float) -> float:
        """Processor cores kept busy."""
        return images_per_second / self.images_per_core


def image_inputs(model: ModelConfig, jpeg_bytes: float) -> tuple[ImageInput, ImageInput]:
    """Return the original images, and records that `tools/prepare_imagenet.py` made of them."""
    prepared = prepared_bytes(model.resolution, model.image_channels)
    return (
        ImageInput("original JPEGs", jpeg_bytes, ORIGINAL_IMAGES_PER_CORE),
        ImageInput("prepared records", prepared, PREPARED_IMAGES_PER_CORE),
    )


def prepared_bytes(resolution: int, image_channels: int) -> float:
    """Mean size of a prepared record: of pictures with a photograph's spectrum, prepared as by default."""
    settings = parse_arguments(["--output=none"])
    image_format = "png" if image_channels == 4 else settings.format
    sizes = []
    for seed in range(_SAMPLES):
        picture = decode_image(
            encode_jpeg(create_photograph(seed)), resolution=resolution, image_channels=image_channels
        )
        encoded = encode_image(picture, image_format, settings.quality)
        sizes.append(len(serialize_record(encoded, seed, _NAME)) + _RECORD_FRAME_BYTES)
    return statistics.mean(sizes)


def images_per_second(global_batch_size: int, discriminator_updates: int, step_seconds: float) -> float:
    """Real images that a run takes: a fresh batch in every discriminator update, none in the generator's."""
    return global_batch_size * discriminator_updates / step_seconds
