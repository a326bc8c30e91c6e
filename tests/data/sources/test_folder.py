"""Image files of any name are read with the label of their directory."""

import os
from pathlib import Path

import numpy as np
import pytest

from sagan_tf.config import DataConfig
from sagan_tf.data.sources.registry import open_source
from tests.data.sample_folders import build_class_directories, get_image_color, write_image

RED = (255, 0, 0)


def test_images_of_unicode_names_are_read_with_their_labels(tmp_path: Path) -> None:
    build_class_directories(tmp_path, ("Ähre", "猫"), images_per_class=3)
    source = open_source(DataConfig(dataset="folder", data_dir=str(tmp_path)), resolution=8, image_channels=3)
    for example in source.examples(seed=0, position=0).take(6).as_numpy_iterator():
        path = Path(example["name"].decode())
        assert path.parent.name == source.class_names[example["label"]]
        np.testing.assert_array_equal(example["image"][0, 0], get_image_color(example["label"], int(path.stem)))


def test_names_need_not_be_utf8(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    name = os.fsdecode(b"caf\xe9.png")
    write_image(tmp_path / "a" / name, RED)
    build_class_directories(tmp_path, ("b",), images_per_class=100)
    (tmp_path / "b" / os.fsdecode(b"\xe9.png")).write_bytes(b"no image")
    source = open_source(DataConfig(dataset="folder", data_dir=str(tmp_path)), resolution=8, image_channels=3)
    examples = list(source.examples(seed=0, position=0).take(110).as_numpy_iterator())
    assert os.fsencode(tmp_path / "a" / name) in {example["name"] for example in examples}
    assert str(tmp_path / "b" / r"\udce9.png") in caplog.text  # escaped byte by byte


def test_digest_changes_with_files(tmp_path: Path) -> None:
    build_class_directories(tmp_path)
    path = tmp_path / "cat" / "000.png"
    os.utime(path, ns=(5, 5))

    def compute_digest() -> str:
        config = DataConfig(dataset="folder", data_dir=str(tmp_path))
        return open_source(config, resolution=8, image_channels=3).digest()

    first = compute_digest()
    assert first == compute_digest()
    os.utime(path, ns=(6, 6))
    touched = compute_digest()
    path.write_bytes(path.read_bytes() + b" ")
    os.utime(path, ns=(6, 6))
    longer = compute_digest()
    path.rename(tmp_path / "cat" / "another.png")
    assert len({first, touched, longer, compute_digest()}) == 4
