"""A miniature ILSVRC2012, prepared offline by TFDS's own `imagenet2012` builder from small archives made here."""

import io
import tarfile
from pathlib import Path

import numpy as np
from PIL import Image

from tests.faults.untrusted_files import encode

SYNSETS = ("n01440764", "n01443537", "n01484850")
"""The first three of the 1,000 classes: labels 0, 1 and 2."""

VALIDATION_IMAGES = 4
"""Their labels are the first labels of the real validation split: 65, 970, 230 and 809."""


def build_miniature_imagenet(data_dir: Path, images_per_class: int = 6, *, damaged: tuple[str, ...] = ()) -> None:
    """Prepare `imagenet2012` in `data_dir`: split `train` with the classes `SYNSETS`, and a split `validation`.

    Args:
        data_dir: The data directory of TFDS, for `--data_dir`.
        images_per_class: Images of each class, about 40 x 36 pixels, each in one color that depends on its class.
        damaged: Names of images, such as `n01440764_0.JPEG`, whose second half is missing.
    """
    import tensorflow_datasets as tfds

    manual_dir = data_dir / "downloads" / "manual"
    manual_dir.mkdir(parents=True)
    with tarfile.open(manual_dir / "ILSVRC2012_img_train.tar", "w") as archive:
        for label, synset in enumerate(SYNSETS):
            content = _synset_archive(label, synset, images_per_class, damaged)
            _add(archive, f"{synset}.tar", content)
    # The builder reads this archive even if the split is not requested.
    with tarfile.open(manual_dir / "ILSVRC2012_img_val.tar", "w") as archive:
        for index in range(VALIDATION_IMAGES):
            _add(archive, f"ILSVRC2012_val_{index + 1:08d}.JPEG", _jpeg(np.full((36, 36, 3), 40 * index, np.uint8)))
    builder = tfds.builder("imagenet2012", data_dir=str(data_dir))
    config = tfds.download.DownloadConfig(manual_dir=str(manual_dir), try_download_gcs=False)
    builder.download_and_prepare(download_config=config)


def _synset_archive(label: int, synset: str, count: int, damaged: tuple[str, ...]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for index in range(count):
            name = f"{synset}_{index}.JPEG"
            pixels: np.ndarray = np.full((36, 40 + index, 3), 20 + index, np.uint8)
            pixels[..., label % 3] = 220
            content = _jpeg(pixels)
            _add(archive, name, content[: len(content) // 2] if name in damaged else content)
    return buffer.getvalue()


def _jpeg(pixels: np.ndarray) -> bytes:
    return encode(Image.fromarray(pixels), "JPEG", quality=95)


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    archive.addfile(entry, io.BytesIO(content))
