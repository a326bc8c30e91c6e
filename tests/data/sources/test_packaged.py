"""The packaged data set is real, balanced and small, and matches its provenance."""

import hashlib
import importlib.resources
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sagan_tf.config import DataConfig
from sagan_tf.data.sources.packaged import load_arrays, resize_gray_images
from sagan_tf.data.sources.registry import open_source
from sagan_tf.errors import UserError
from tools.make_fashion_mnist_10k import run
from tools.preparation.fashion_mnist import DEBIAN_DIRECTORY as ORIGINAL
from tools.preparation.fashion_mnist import find_first_of_each_class, read_split

PACKAGED = Path(str(importlib.resources.files("sagan_tf.data"))) / "fashion_mnist_10k"
needs_original = pytest.mark.skipif(not ORIGINAL.is_dir(), reason="needs the Debian package dataset-fashion-mnist")


@pytest.mark.parametrize(("split", "per_class"), [("train", 1000), ("reference", 200)])
def test_splits_are_balanced(split: str, per_class: int) -> None:
    images, labels, class_names = load_arrays(split)
    assert images.shape == (10 * per_class, 28, 28)
    assert images.dtype == np.uint8
    np.testing.assert_array_equal(np.bincount(labels), [per_class] * 10)
    assert (class_names[0], class_names[-1]) == ("T-shirt/top", "Ankle boot")


def test_splits_share_no_image() -> None:
    train, reference = ({image.tobytes() for image in load_arrays(split)[0]} for split in ("train", "reference"))
    assert not train & reference


def test_file_is_small_and_matches_the_provenance() -> None:
    content = (PACKAGED / "fashion_mnist_10k.npz").read_bytes()
    assert len(content) < 8 * 2**20
    assert hashlib.sha256(content).hexdigest() in (PACKAGED / "PROVENANCE.md").read_text()
    assert "Copyright © 2017 Zalando SE" in (PACKAGED / "LICENSE").read_text()


def test_opens_at_the_requested_resolution() -> None:
    source = open_source(DataConfig(dataset="fashion_mnist_10k", split="reference"), resolution=32, image_channels=1)
    images, labels, _ = load_arrays("reference")
    np.testing.assert_array_equal(resize_gray_images(images[:5], 28)[..., 0], images[:5])
    for example in source.examples(seed=5, position=0).take(10).as_numpy_iterator():
        index = int(example["name"].rsplit(b"/", 1)[1])
        expected = Image.fromarray(images[index]).resize((32, 32), Image.Resampling.BICUBIC)
        np.testing.assert_array_equal(example["image"][..., 0], expected)
        assert example["label"] == labels[index]


def test_rejects_other_splits() -> None:
    with pytest.raises(UserError, match="split: .*'test'"):
        open_source(DataConfig(dataset="fashion_mnist_10k", split="test"), resolution=32, image_channels=1)


@needs_original
def test_packaged_images_are_the_originals() -> None:
    images, labels = read_split(ORIGINAL, "test")
    chosen = find_first_of_each_class(labels, 200)
    packaged_images, packaged_labels, _ = load_arrays("reference")
    np.testing.assert_array_equal(packaged_images, images[chosen])
    np.testing.assert_array_equal(packaged_labels, labels[chosen])


@needs_original
def test_tool_is_deterministic(tmp_path: Path) -> None:
    options = ["--images_per_class=2", "--reference_images_per_class=1"]
    contents = []
    for name in ("first", "second"):
        assert run([f"--output={tmp_path / name}", *options]) == 0
        contents.append((tmp_path / name / "fashion_mnist_10k.npz").read_bytes())
    assert contents[0] == contents[1]


def test_tool_names_the_missing_package(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([f"--source={tmp_path}", f"--output={tmp_path / 'output'}"]) == 2
    assert str(tmp_path) in capsys.readouterr().err
