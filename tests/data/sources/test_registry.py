"""The door to all data sets: what it settles before it opens one."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from sagan_tf.config import DataConfig
from sagan_tf.data.sources import registry
from sagan_tf.data.sources.registry import open_source
from sagan_tf.errors import UserError


def test_opening_does_not_load_tensorflow_datasets() -> None:
    """It takes seconds, and only TFDS data sets need it."""
    for path in Path(registry.__file__).parent.glob("*.py"):
        imported = [
            ast.unparse(node) for node in ast.parse(path.read_text()).body if "import" in type(node).__name__.lower()
        ]
        assert not any("tensorflow_datasets" in statement for statement in imported), path


def test_a_home_folder_is_expanded(class_folders: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(class_folders.parent))
    config = DataConfig(dataset="folder", data_dir=f"~/{class_folders.name}")
    assert open_source(config, resolution=8, image_channels=3).num_examples == 12


@pytest.mark.parametrize("image_channels", [1, 3, 4])
@pytest.mark.parametrize("dataset", ["fashion_mnist_10k", "folder", "tfrecord"])
def test_gives_the_channels_asked_for(
    class_folders: Path, record_files: Path, dataset: str, image_channels: int
) -> None:
    data_dir = record_files if dataset == "tfrecord" else class_folders
    config = DataConfig(dataset=dataset, data_dir=str(data_dir))
    source = open_source(config, resolution=8, image_channels=image_channels)
    (example,) = source.examples(seed=0, position=0).take(1).as_numpy_iterator()
    assert example["image"].shape == (8, 8, image_channels)


def test_refuses_other_channels() -> None:
    with pytest.raises(UserError, match=r"image_channels: expected 1 .*received 2"):
        open_source(DataConfig(dataset="fashion_mnist_10k"), resolution=8, image_channels=2)
