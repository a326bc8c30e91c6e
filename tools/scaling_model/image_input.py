"""Input of training: images, bytes and CPU cores per second."""

from __future__ import annotations

import dataclasses
import statistics

from sagan_tf.config import ModelConfig
from sagan_tf.data.images.preprocessing import decode_image
from sagan_tf.data.sources.tfrecord import serialize_record
from tools.benchmarks.pipeline_data import create_photograph, encode_jpeg
from tools.preparation.shards import encode_image
from tools.prepare_imagenet import parse_arguments

_NUM_SAMPLES = 8
_RECORD_FRAME_BYTES = 16  # the length of a record and two checksums
_SAMPLE_NAME = b"n01440764/n01440764_10026.JPEG"

# README, "Speed": `tools/benchmark.py pipeline` on two cores, at 128 px from JPEGs of 500 x 375 pixels.
ORIGINAL_IMAGES_PER_CORE = 1126 / 2
PREPARED_IMAGES_PER_CORE = 4790 / 2


@dataclasses.dataclass(frozen=True)
class ImageInput:
    """Source of images.

    Attributes:
        name: Name of the kind of files.
        image_bytes: Mean size of an image in bytes.
        images_per_core: Images per second that a CPU core decodes.
    """

    name: str
    image_bytes: float
    images_per_core: float

    def compute_bytes_per_second(self, images_per_second: float) -> float:
        """Compute the bytes per second that are read from disks or the network."""
        return images_per_second * self.image_bytes

    def compute_cores(self, images_per_second: float) -> float:
        """Compute the number of busy CPU cores."""
        return images_per_second / self.images_per_core


def create_image_inputs(model: ModelConfig, jpeg_bytes: float) -> tuple[ImageInput, ImageInput]:
    """Return the original images and the records that preparation makes of them."""
    prepared = measure_prepared_bytes(model.resolution, model.image_channels)
    return (
        ImageInput("original JPEGs", jpeg_bytes, ORIGINAL_IMAGES_PER_CORE),
        ImageInput("prepared records", prepared, PREPARED_IMAGES_PER_CORE),
    )


def measure_prepared_bytes(resolution: int, image_channels: int) -> float:
    """Measure the mean size of a record by `tools/prepare_imagenet.py` in bytes.

    The images have the spectrum of photographs, and are prepared with the default options.
    """
    settings = parse_arguments(["--output=none"])
    image_format = "png" if image_channels == 4 else settings.format
    sizes = []
    for seed in range(_NUM_SAMPLES):
        image = decode_image(encode_jpeg(create_photograph(seed)), resolution=resolution, image_channels=image_channels)
        encoded = encode_image(image, image_format, settings.quality)
        sizes.append(len(serialize_record(encoded, seed, _SAMPLE_NAME)) + _RECORD_FRAME_BYTES)
    return statistics.mean(sizes)


def compute_images_per_second(global_batch_size: int, discriminator_updates: int, step_seconds: float) -> float:
    """Compute the real images per second that a run reads.

    Every update of the discriminator takes a new batch, and the update of the generator none.
    """
    return global_batch_size * discriminator_updates / step_seconds
