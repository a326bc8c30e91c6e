"""Images in a folder: a subfolder for each class, or all in one place without labels."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import tensorflow as tf

from sagan_tf.config import DataConfig
from sagan_tf.data.decoding import image_or_skip, readable_examples
from sagan_tf.data.folder_layout import FolderLayout, read_folder_layout
from sagan_tf.data.indexed import IndexedSource


class FolderSource(IndexedSource):
    """Image files, read and decoded each time they are drawn."""

    def __init__(self, folder: Path, layout: FolderLayout, *, resolution: int, image_channels: int) -> None:
        """
        Args:
            folder: the data set's folder.
            layout: what lies in it.
            resolution: height and width of the images to give.
            image_channels: their channels.
        """
        super().__init__(
            name=str(folder),
            num_examples=len(layout.paths),
            class_names=layout.class_names,
            class_counts=np.bincount(layout.labels, minlength=len(layout.class_names))[: len(layout.class_names)],
            resolution=resolution,
            image_channels=image_channels,
        )
        self._folder = folder
        self._layout = layout

    def _read(self, places: tf.data.Dataset) -> tf.data.Dataset:
        def load(index: np.int64) -> tuple[np.ndarray, np.bool_, np.int32, bytes]:
            path = self._folder / self._layout.paths[index]
            name = os.fsencode(path)  # a file name need not be UTF-8
            image, readable = image_or_skip(path.read_bytes, name.decode(errors="replace"), self)
            return image, readable, self._layout.labels[index], name

        def read(position: tf.Tensor, index: tf.Tensor) -> dict[str, tf.Tensor]:
            outputs = (tf.uint8, tf.bool, tf.int32, tf.string)
            image, readable, label, name = tf.numpy_function(load, [index], outputs)
            example = {"image": image, "position": position, "readable": tf.ensure_shape(readable, [])}
            return example | {"label": tf.ensure_shape(label, []), "name": tf.ensure_shape(name, [])}

        return readable_examples(places, read, self)


def open_folder(data_config: DataConfig, *, resolution: int, image_channels: int) -> FolderSource:
    """Opens `data_config.data_dir` (`split` is not used); an opener for `sources.DATASETS`.

    Raises:
        UserError: the folder is missing, holds no images, or holds them at another level than one class a subfolder.
    """
    layout = read_folder_layout(data_config.data_dir)
    return FolderSource(Path(data_config.data_dir), layout, resolution=resolution, image_channels=image_channels)
