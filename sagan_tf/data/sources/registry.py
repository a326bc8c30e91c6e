"""The data sets by name.

A new data set is one entry in `DATASETS`. Any other name is taken for a TFDS data set.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable

from sagan_tf.config import DataConfig
from sagan_tf.data.sources.folder import open_directory
from sagan_tf.data.sources.packaged import open_fashion_mnist_10k
from sagan_tf.data.sources.selection import select_images
from sagan_tf.data.sources.source import Source
from sagan_tf.data.sources.tfds_source import open_tfds
from sagan_tf.data.sources.tfrecord import open_tfrecord
from sagan_tf.errors import UserError
from sagan_tf.tensorflow_paths import check_tensorflow_path

DATASETS: dict[str, Callable[..., Source]] = {
    "fashion_mnist_10k": open_fashion_mnist_10k,
    "folder": open_directory,
    "tfrecord": open_tfrecord,
}


def open_source(data_config: DataConfig, *, resolution: int, image_channels: int) -> Source:
    """Open the data set that `data_config.dataset` names.

    Args:
        data_config: The name, the directory and the split of the data set, and the part of its images to use.
        resolution: Height and width of the images after preprocessing, in pixels.
        image_channels: Channels of the images after preprocessing: 1, 3 or 4.

    Returns:
        The opened source.

    Raises:
        UserError: The data is missing, not prepared or has another layout, or `image_channels` is not 1, 3 or 4.
    """
    check_image_channels(image_channels)
    opener = DATASETS.get(data_config.dataset, open_tfds)
    # Expand "~" here, because no shell does it for a path in a flagfile.
    expanded = dataclasses.replace(data_config, data_dir=os.path.expanduser(data_config.data_dir))
    if opener is not open_directory:  # TensorFlow does not open the images of a directory itself
        check_tensorflow_path("data_dir", expanded.data_dir)
    source = opener(expanded, resolution=resolution, image_channels=image_channels)
    return select_images(source, expanded)


def check_image_channels(image_channels: int) -> None:
    """Raise UserError if images cannot have this number of channels."""
    if image_channels not in (1, 3, 4):
        raise UserError(
            f"image_channels: expected 1 (gray), 3 (color) or 4 (color with alpha), received {image_channels}"
        )
