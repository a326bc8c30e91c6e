"""Images in memory, and the data set that is packaged with this project: 10,000 images of Fashion-MNIST."""

from __future__ import annotations

import copy
import hashlib
import importlib.resources
import io
import json

import numpy as np
import tensorflow as tf
from PIL import Image

from sagan_tf.config import DataConfig
from sagan_tf.data.images.skipped import SkippedImages
from sagan_tf.data.sources.indexed import IndexedSource
from sagan_tf.errors import UserError

NAME = "fashion_mnist_10k"
SPLITS = ("train", "reference")

_CHUNK_IMAGES = 64
"""Nothing is decoded, so that the cost depends on how often a function runs."""


class EmbeddedSource(IndexedSource):
    """Gray images that are held in memory, resized once.

    Args:
        name: Name of the data set, for messages and for the names of images.
        split: Name of the split, for the names of images.
        images: uint8 [n, side, side], gray. They are resized.
        labels: Integers [n].
        class_names: One name for each label.
        resolution: Height and width of the images after preprocessing, in pixels.
        image_channels: 1, 3 (the gray channel three times) or 4 (with an opaque alpha channel).
    """

    def __init__(
        self,
        *,
        name: str,
        split: str,
        images: np.ndarray,
        labels: np.ndarray,
        class_names: tuple[str, ...],
        resolution: int,
        image_channels: int,
    ) -> None:
        super().__init__(
            name=name,
            num_examples=len(images),
            class_names=class_names,
            class_counts=np.bincount(labels, minlength=len(class_names)),
            resolution=resolution,
            image_channels=image_channels,
        )
        # In the memory of the host, because the GPU's memory is for the networks.
        with tf.device("/CPU:0"):
            self._images = tf.constant(resize_gray_images(images, resolution))
            self._labels = tf.constant(labels.astype(np.int32))
            self._numbers = tf.range(len(images), dtype=tf.int64)
        self._split = split
        self._is_whole = True

    def digest(self) -> str:
        """See `Source.digest`."""
        if self._is_whole:
            return f"{self.name}/{self._split}"
        part = hashlib.sha256(json.dumps([self.get_keys(), self.get_labels().tolist(), self.class_names]).encode())
        return f"{self.name}/{self._split}/{part.hexdigest()[:16]}"

    def get_labels(self) -> np.ndarray:
        """See `SelectableSource.get_labels`."""
        return self._labels.numpy()

    def get_keys(self) -> list[str]:
        """See `IndexedSource.get_keys`."""
        return [str(number) for number in self._numbers.numpy()]

    def select(self, indices: np.ndarray, labels: np.ndarray, class_names: tuple[str, ...]) -> EmbeddedSource:
        """See `SelectableSource.select`."""
        part = copy.copy(self)
        part._is_whole, part.whole = False, None
        part._images, part._numbers = (tf.gather(column, indices) for column in (self._images, self._numbers))
        part._labels, part.class_names = tf.constant(labels, tf.int32), class_names
        part.num_examples = part.class_counts_sample_size = len(indices)
        part.class_counts = np.bincount(labels, minlength=len(class_names))
        part.skipped = SkippedImages(len(indices))
        return part

    def _read(self, places: tf.data.Dataset) -> tf.data.Dataset:
        def read(positions: tf.Tensor, indices: tf.Tensor) -> dict[str, tf.Tensor]:
            numbers = tf.gather(self._numbers, indices)
            return {
                "image": _repeat_channels(tf.gather(self._images, indices), self.image_channels),
                "label": tf.gather(self._labels, indices),
                "position": positions,
                "name": tf.strings.join([f"{self.name}/{self._split}/", tf.strings.as_string(numbers)]),
            }

        return places.batch(_CHUNK_IMAGES).map(read)


def open_fashion_mnist_10k(data_config: DataConfig, *, resolution: int, image_channels: int) -> EmbeddedSource:
    """Open the packaged data set; an opener for `registry.DATASETS`.

    `data_config.data_dir` is not used.

    Args:
        data_config: The data set.
        resolution: Height and width of the images after preprocessing, in pixels.
        image_channels: Channels of the images after preprocessing.

    Returns:
        The opened source.

    Raises:
        UserError: The split does not exist.
    """
    if data_config.split not in SPLITS:
        raise UserError(f"split: expected train or reference for {NAME}, received {data_config.split!r}")
    images, labels, class_names = load_arrays(data_config.split)
    return EmbeddedSource(
        name=NAME,
        split=data_config.split,
        images=images,
        labels=labels,
        class_names=class_names,
        resolution=resolution,
        image_channels=image_channels,
    )


def load_arrays(split: str) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """Load a split of the packaged data set.

    Args:
        split: `train` or `reference`.

    Returns:
        Images uint8 [n, 28, 28], labels int64 [n], and the names of the 10 classes.
    """
    packaged = importlib.resources.files("sagan_tf.data").joinpath(NAME).joinpath(f"{NAME}.npz")
    with np.load(io.BytesIO(packaged.read_bytes()), allow_pickle=False) as arrays:
        names = tuple(str(name) for name in arrays["class_names"])
        return arrays[f"{split}_images"], arrays[f"{split}_labels"].astype(np.int64), names


def resize_gray_images(images: np.ndarray, resolution: int) -> np.ndarray:
    """Resize gray images as `preprocessing.decode_image` does.

    Args:
        images: uint8 [n, side, side].
        resolution: Height and width of the result, in pixels.

    Returns:
        uint8 [n, resolution, resolution, 1].
    """
    resized: np.ndarray = np.empty((len(images), resolution, resolution, 1), np.uint8)
    for index, image in enumerate(images):
        resized_image = Image.fromarray(image).resize((resolution, resolution), Image.Resampling.BICUBIC)
        resized[index, :, :, 0] = np.asarray(resized_image)
    return resized


def _repeat_channels(gray: tf.Tensor, image_channels: int) -> tf.Tensor:
    """Convert gray images [..., 1] to 1, 3 or 4 channels."""
    if image_channels == 1:
        return gray
    color = tf.repeat(gray, 3, axis=-1)
    return color if image_channels == 3 else tf.concat([color, tf.fill(tf.shape(gray), np.uint8(255))], axis=-1)
