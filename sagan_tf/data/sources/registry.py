"""The data sets by name. A new one is one entry in `DATASETS`; any other name is taken to be a TFDS data set."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable

from sagan_tf.config import DataConfig
from sagan_tf.data.sources.folder import open_folder
from sagan_tf.data.sources.packaged import open_fashion_mnist_10k
from sagan_tf.data.sources.source import Source
from sagan_tf.data.sources.tfds_source import open_tfds
from sagan_tf.data.sources.tfrecord import open_tfrecord
from sagan_tf.errors import UserError
from sagan_tf.tensorflow_paths import check_tensorflow_path

DATASETS: dict[str, Callable[..., Source]] = {
    "fashion_mnist_10k": open_fashion_mnist_10k,
    "folder": open_folder,
    "tfrecord": open_tfrecord,
}


def open_source(data_config: DataConfig, *, resolution: int, image_channels: int) -> Source:
    """Open the data set that `data_config.dataset` names.

    Args:
        data_config: which data set, where it is, which split.
        resolution: height and width of the images wanted.
        image_channels: channels of the images wanted: 1, 3 or 4.

    Returns:
        The opened source.

    Raises:
        UserError: the data is missing, not prepared, laid out in another way, or `image_channels` is not 1, 3 or 4.
    """
    if image_channels not in (1, 3, 4):
        raise UserError(
            f"image_channels: expected 1 (grey), 3 (colour) or 4 (colour with alpha), received {image_channels}"
        )
    opener = DATASETS.get(data_config.dataset, open_tfds)
    # A flagfile has no shell that would do it.
    expanded = dataclasses.replace(data_config, data_dir=os.path.expanduser(data_config.data_dir))
    if opener is not open_folder:  # whose images TensorFlow does not open itself
        check_tensorflow_path("data_dir", expanded.data_dir)
    return opener(expanded, resolution=resolution, image_channels=image_channels)
