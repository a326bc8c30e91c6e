"""Pictures that compress and resize as photographs do, made from a seed, and data sets of them."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

QUALITY = 90
NUM_CLASSES = 10
NUM_DIFFERENT = 32
NUM_FILES = 8
TFDS_NAME = "photographs"
_SHAPES = 12
_SENSOR_NOISE = 1.5


def photograph(seed: int, width: int = 500, height: int = 375) -> np.ndarray:
    """Return a picture with a photograph's spectrum (amplitude 1/f), edges and a little sensor noise.

    Args:
        seed: of the picture.
        width: pixels.
        height: pixels.

    Returns:
        uint8 [height, width, 3].
    """
    random = np.random.default_rng(seed)
    frequencies = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None, :])
    frequencies[0, 0] = 1.0
    white = random.standard_normal((3, *frequencies.shape)) + 1j * random.standard_normal((3, *frequencies.shape))
    texture = np.fft.irfft2(white / frequencies, s=(height, width))
    texture /= texture.std(axis=(1, 2), keepdims=True)
    # Colours are less contrasted than brightness, as in most scenes.
    picture = 120 + 35 * texture[:1] + np.array([8, 0, -8]).reshape(3, 1, 1) * texture[1:2] + 4 * texture[2:]
    down, across = np.mgrid[:height, :width]
    for _ in range(_SHAPES):
        centre_x, centre_y, radius = random.uniform(0, width), random.uniform(0, height), random.uniform(10, 90)
        distance = np.hypot(across - centre_x, (down - centre_y) * random.uniform(0.4, 2.5))
        # An edge about one pixel wide, as a lens gives it.
        inside = 1 / (1 + np.exp(np.clip(2.0 * (distance - radius), -50, 50)))
        colour = random.uniform(-60, 60) + random.uniform(-25, 25, (3, 1, 1))
        picture = picture + inside * colour
    picture = picture + _SENSOR_NOISE * random.standard_normal(picture.shape)
    return np.clip(np.rint(picture), 0, 255).astype(np.uint8).transpose(1, 2, 0)


def jpeg(picture: np.ndarray, quality: int = QUALITY) -> bytes:
    """Encode uint8 [height, width, 3] as most cameras and web sites do, with colours at half resolution."""
    encoded = io.BytesIO()
    Image.fromarray(picture).save(encoded, "JPEG", quality=quality, subsampling="4:2:0")
    return encoded.getvalue()


def write_folder(folder: Path, num_images: int) -> list[Path]:
    """Write `num_images` JPEGs of 500 x 375 pixels into a subfolder for each class; few of them are different."""
    different = [jpeg(photograph(seed)) for seed in range(min(num_images, NUM_DIFFERENT))]
    paths = [folder / f"class_{index % NUM_CLASSES}" / f"{index:06d}.jpg" for index in range(num_images)]
    for index, path in enumerate(paths):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(different[index % NUM_DIFFERENT])
    return paths


def write_tfds(data_dir: Path, paths: list[Path]) -> None:
    """Write the same images as the TFDS data set `TFDS_NAME`, by TFDS's own builder."""
    import tensorflow_datasets as tfds

    tfds.disable_progress_bar()
    features = {
        "image": tfds.features.Image(encoding_format="jpeg"),
        "label": tfds.features.ClassLabel(num_classes=NUM_CLASSES),
    }
    examples = [{"image": str(path), "label": index % NUM_CLASSES} for index, path in enumerate(paths)]

    class Photographs(tfds.core.GeneratorBasedBuilder, skip_registration=True):
        VERSION = tfds.core.Version("1.0.0")
        name = TFDS_NAME

        def _info(self) -> Any:
            return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

        def _split_generators(self, manager: Any) -> dict[str, Any]:
            return {"train": enumerate(examples)}

        def _generate_examples(self) -> Any:
            raise NotImplementedError  # the split has its examples

    config = tfds.download.DownloadConfig(try_download_gcs=False, num_shards=NUM_FILES)
    Photographs(data_dir=str(data_dir)).download_and_prepare(download_config=config)
