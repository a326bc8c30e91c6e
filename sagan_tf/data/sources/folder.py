"""Image files of a directory or an archive: labeled, with a subdirectory for each class, or unlabeled."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import os

import numpy as np
import tensorflow as tf

from sagan_tf.config import DataConfig
from sagan_tf.data.sources.decoding import decode_chunks, decode_in_python, decode_readable_images
from sagan_tf.data.sources.folder_layout import DirectoryLayout, read_layout
from sagan_tf.data.sources.indexed import IndexedSource
from sagan_tf.data.trees.open_tree import open_tree
from sagan_tf.data.trees.tree import FileTree


class DirectorySource(IndexedSource):
    """Image files that are read and decoded each time they are drawn.

    Args:
        tree: The files.
        layout: The images and classes among the files.
        resolution: Height and width of the images after preprocessing, in pixels.
        image_channels: Channels of the images after preprocessing.

    Attributes:
        tree: The files.
        layout: The images and classes among the files.
    """

    def __init__(self, tree: FileTree, layout: DirectoryLayout, *, resolution: int, image_channels: int) -> None:
        super().__init__(
            name=tree.root,
            num_examples=len(layout.paths),
            class_names=layout.class_names,
            class_counts=np.bincount(layout.labels, minlength=len(layout.class_names))[: len(layout.class_names)],
            resolution=resolution,
            image_channels=image_channels,
        )
        self.tree = tree
        self.layout = layout

    def digest(self) -> str:
        """See `Source.digest`."""
        digest = hashlib.sha256()
        for path in self.layout.paths:
            try:
                digest.update(os.fsencode("\0".join(map(str, (path, *self.tree.get_version(path), "")))))
            except OSError:  # reported as an unreadable image when it is drawn
                digest.update(os.fsencode(f"{path}\0missing\0"))
        if self.layout.has_table:
            digest.update(json.dumps([self.layout.labels.tolist(), self.class_names]).encode())
        return digest.hexdigest()[:16]

    def get_labels(self) -> np.ndarray:
        """See `SelectableSource.get_labels`."""
        return self.layout.labels

    def get_keys(self) -> tuple[str, ...]:
        """See `IndexedSource.get_keys`."""
        return self.layout.paths

    def select(self, indices: np.ndarray, labels: np.ndarray, class_names: tuple[str, ...]) -> DirectorySource:
        """See `SelectableSource.select`."""
        paths = tuple(self.layout.paths[index] for index in indices)
        layout = dataclasses.replace(self.layout, paths=paths, labels=labels, class_names=class_names)
        size = {"resolution": self.resolution, "image_channels": self.image_channels}
        return DirectorySource(self.tree.select(paths), layout, **size)

    def _read(self, places: tf.data.Dataset) -> tf.data.Dataset:
        def load(indices: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
            paths = [self.layout.paths[index] for index in indices]
            names = [os.fsencode(self.tree.format_name(path)) for path in paths]  # a file name need not be UTF-8
            files = [(functools.partial(self.tree.read, path), self.tree.format_name(path)) for path in paths]
            images, readable = decode_readable_images(files, self)
            return images, readable, self.layout.labels[indices[readable]], np.array(names, object)[readable]

        def read(positions: tf.Tensor, indices: tf.Tensor) -> dict[str, tf.Tensor]:
            images, readable, labels, names = decode_in_python(load, [indices])
            return {"image": images, "label": labels, "position": tf.gather(positions, readable), "name": names}

        return decode_chunks(places, read, self)


def open_directory(
    data_config: DataConfig, *, resolution: int, image_channels: int, allows_split_names: bool = False
) -> DirectorySource:
    """Open a directory or an archive of images; an opener for `registry.DATASETS`.

    Its path is `data_config.data_dir`; `data_config.split` is not used.

    Args:
        data_config: The data set.
        resolution: Height and width of the images after preprocessing, in pixels.
        image_channels: Channels of the images after preprocessing.
        allows_split_names: See `folder_layout.read_layout`.

    Returns:
        The opened source.

    Raises:
        UserError: The path is missing, cannot be read, has no images, or has images at other levels than below one
            subdirectory per class.
    """
    tree = open_tree(data_config.data_dir)
    are_classes_named = bool(data_config.classes)
    layout = read_layout(tree, are_classes_named=are_classes_named, allows_split_names=allows_split_names)
    return DirectorySource(tree, layout, resolution=resolution, image_channels=image_channels)
