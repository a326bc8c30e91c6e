"""The order of data sets that are read by index is uniform and mixed."""

from pathlib import Path

import numpy as np

from sagan_tf.config import DataConfig
from sagan_tf.data.sources.registry import open_source


def test_order_of_few_images_is_uniform(class_directories: Path) -> None:
    """Over many epochs each of the 12 images is equally often the first: similar seeds give different orders."""
    source = open_source(DataConfig(dataset="folder", data_dir=str(class_directories)), resolution=1, image_channels=1)
    stream = next(source.examples(seed=1, position=0).batch(12 * 300).as_numpy_iterator())
    first = stream["name"][::12]
    counts = np.unique(first, return_counts=True)[1]
    assert len(counts) == 12
    assert ((counts - 25) ** 2 / 25).sum() < 31.3  # chi-square, 11 degrees of freedom, 0.1 %


def test_parts_are_mixed(class_directories: Path) -> None:
    """A directory is ordered by class. A part with a single class would not be a fair sample."""
    source = open_source(DataConfig(dataset="folder", data_dir=str(class_directories)), resolution=1, image_channels=1)
    for index in range(2):
        part = source.part(index, 2)
        labels = [int(example["label"]) for example in part.preview(6)]
        assert set(labels) == {0, 1}
        assert labels != sorted(labels)
        np.testing.assert_array_equal(part.class_counts, np.bincount(labels))
