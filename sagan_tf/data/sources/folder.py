"""Images in a folder: a subfolder for each class, or all in one place without labels."""

from __future__ import annotations

import functools
import hashlib
import os
from pathlib import Path

import numpy as np
import tensorflow as tf

from sagan_tf.config import DataConfig
from sagan_tf.data.images.limits import read_file
from sagan_tf.data.sources.decoding import decode_in_python, decode_readable, decoded_chunks
from sagan_tf.data.sources.folder_layout import FolderLayout, read_folder_layout
from sagan_tf.data.sources.indexed import IndexedSource


class FolderSource(IndexedSource):
    """Image files, read and decoded each time they are drawn.

    Attributes:
        layout: what lies in the folder.
    """

    def __init__(self, folder: Path, layout: FolderLayout, *, resolution: int, image_channels: int) -> None:
        """Args:
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
        self.layout = layout

    def fingerprint(self) -> str:
        """See `Source.fingerprint`."""
        digest = hashlib.sha256()
        for path in self.layout.paths:
            try:
                status = os.stat(self._folder / path)
                digest.update(os.fsencode(f"{path}\0{status.st_size}\0{status.st_mtime_ns}\0"))
            except OSError:  # an unreadable image, when its turn comes
                digest.update(os.fsencode(f"{path}\0missing\0"))
        return digest.hexdigest()[:16]

    def _select(self, indices: np.ndarray) -> FolderSource:
        layout = self.layout
        paths = tuple(layout.paths[index] for index in indices)
        chosen = FolderLayout(paths, layout.labels[indices], layout.class_names)
        return FolderSource(self._folder, chosen, resolution=self.resolution, image_channels=self.image_channels)

    def _read(self, places: tf.data.Dataset) -> tf.data.Dataset:
        def load(indices: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
            paths = [self._folder / self.layout.paths[index] for index in indices]
            names = [os.fsencode(path) for path in paths]  # a file name need not be UTF-8
            files = [(functools.partial(read_file, path), str(path)) for path in paths]
            images, readable = decode_readable(files, self)
            return images, readable, self.layout.labels[indices[readable]], np.array(names, object)[readable]

        def read(positions: tf.Tensor, indices: tf.Tensor) -> dict[str, tf.Tensor]:
            images, readable, labels, names = decode_in_python(load, [indices])
            return {"image": images, "label": labels, "position": tf.gather(positions, readable), "name": names}

        return decoded_chunks(places, read, self)


def open_folder(data_config: DataConfig, *, resolution: int, image_channels: int) -> FolderSource:
    """Open `data_config.data_dir` (`split` is not used); an opener for `sources.DATASETS`.

    Raises:
        UserError: the folder is missing, holds no images, or holds them at another level than one class a subfolder.
    """
    layout = read_folder_layout(data_config.data_dir)
    return FolderSource(Path(data_config.data_dir), layout, resolution=resolution, image_channels=image_channels)
