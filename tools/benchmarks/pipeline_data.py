"""Synthetic images that compress and resize like photographs, created from seeds, and data sets of them."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tools.benchmarks.pipelines import TFDS_NAME

JPEG_QUALITY = 90
NUM_CLASSES = 10
NUM_DISTINCT_IMAGES = 32
NUM_FILES = 8
_NUM_SHAPES = 12
_SENSOR_NOISE = 1.5


def create_photograph(seed: int, width: int = 500, height: int = 375) -> np.ndarray:
    """Create an image that resembles a photograph.

    It has the spectrum of a photograph (amplitude 1/f), edges and a little sensor noise.

    Args:
        seed: Seed of the image.
        width: Width in pixels.
        height: Height in pixels.

    Returns:
        The image, uint8 [height, width, 3].
    """
    random = np.random.default_rng(seed)
    frequencies = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None, :])
    frequencies[0, 0] = 1.0
    white = random.standard_normal((3, *frequencies.shape)) + 1j * random.standard_normal((3, *frequencies.shape))
    texture = np.fft.irfft2(white / frequencies, s=(height, width))
    texture /= texture.std(axis=(1, 2), keepdims=True)
    # Colors have less contrast than brightness, as in most scenes.
    image = 120 + 35 * texture[:1] + np.array([8, 0, -8]).reshape(3, 1, 1) * texture[1:2] + 4 * texture[2:]
    down, across = np.mgrid[:height, :width]
    for _ in range(_NUM_SHAPES):
        center_x, center_y, radius = random.uniform(0, width), random.uniform(0, height), random.uniform(10, 90)
        distance = np.hypot(across - center_x, (down - center_y) * random.uniform(0.4, 2.5))
        # A lens makes an edge about one pixel wide.
        inside = 1 / (1 + np.exp(np.clip(2.0 * (distance - radius), -50, 50)))
        color = random.uniform(-60, 60) + random.uniform(-25, 25, (3, 1, 1))
        image = image + inside * color
    image = image + _SENSOR_NOISE * random.standard_normal(image.shape)
    return np.clip(np.rint(image), 0, 255).astype(np.uint8).transpose(1, 2, 0)


def encode_jpeg(image: np.ndarray, quality: int = JPEG_QUALITY) -> bytes:
    """Encode an image, uint8 [height, width, 3], as a JPEG.

    Color has half the resolution, as in the files of most cameras and web sites.
    """
    encoded = io.BytesIO()
    Image.fromarray(image).save(encoded, "JPEG", quality=quality, subsampling="4:2:0")
    return encoded.getvalue()


def write_image_directory(directory: Path, num_images: int) -> list[Path]:
    """Write JPEGs of 500 x 375 pixels into a subdirectory for each class.

    At most `NUM_DISTINCT_IMAGES` of them are distinct.
    """
    distinct = [encode_jpeg(create_photograph(seed)) for seed in range(min(num_images, NUM_DISTINCT_IMAGES))]
    paths = [directory / f"class_{index % NUM_CLASSES}" / f"{index:06d}.jpg" for index in range(num_images)]
    for index, path in enumerate(paths):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(distinct[index % NUM_DISTINCT_IMAGES])
    return paths


def write_tfds_dataset(data_dir: Path, paths: list[Path]) -> None:
    """Write images as the data set `TFDS_NAME`, with the builder of TFDS."""
    import tensorflow_datasets as tfds

    tfds.disable_progress_bar()
    features = {
        "image": tfds.features.Image(encoding_format="jpeg"),
        "label": tfds.features.ClassLabel(num_classes=NUM_CLASSES),
    }
    examples = [{"image": str(path), "label": index % NUM_CLASSES} for index, path in enumerate(paths)]

    class Photographs(tfds.core.GeneratorBasedBuilder, skip_registration=True):  # type: ignore[call-arg]
        VERSION = tfds.core.Version("1.0.0")
        name = TFDS_NAME

        def _info(self) -> Any:
            return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

        def _split_generators(self, manager: Any) -> dict[str, Any]:
            return {"train": enumerate(examples)}

        def _generate_examples(self) -> Any:
            raise NotImplementedError  # `_split_generators` returns the examples itself.

    config = tfds.download.DownloadConfig(try_download_gcs=False, num_shards=NUM_FILES)
    Photographs(data_dir=str(data_dir)).download_and_prepare(download_config=config)
