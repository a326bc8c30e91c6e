"""The checks and conversions of `open_source` before it opens a data set."""

from pathlib import Path

import pytest

from sagan_tf.config import DataConfig
from sagan_tf.data.sources.registry import open_source
from sagan_tf.errors import UserError


def test_home_directory_is_expanded(class_directories: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(class_directories.parent))
    config = DataConfig(dataset="folder", data_dir=f"~/{class_directories.name}")
    assert open_source(config, resolution=8, image_channels=3).num_examples == 12


@pytest.mark.parametrize("image_channels", [1, 3, 4])
@pytest.mark.parametrize("dataset", ["fashion_mnist_10k", "folder", "tfrecord"])
def test_images_have_the_requested_channels(
    class_directories: Path, record_files: Path, dataset: str, image_channels: int
) -> None:
    data_dir = record_files if dataset == "tfrecord" else class_directories
    config = DataConfig(dataset=dataset, data_dir=str(data_dir))
    source = open_source(config, resolution=8, image_channels=image_channels)
    (example,) = source.examples(seed=0, position=0).take(1).as_numpy_iterator()
    assert example["image"].shape == (8, 8, image_channels)


def test_rejects_other_channels() -> None:
    with pytest.raises(UserError, match="image_channels: .* 2"):
        open_source(DataConfig(dataset="fashion_mnist_10k"), resolution=8, image_channels=2)
