"""Image sets by name: a split of a data set or a directory; square images are not changed."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sagan_tf.data.image_sets import is_directory, open_images, open_square_images
from sagan_tf.data.sources.source import Source
from sagan_tf.errors import UserError
from tests.data.sample_folders import build_class_directories, build_record_files


def write_pixels(path: Path, pixels: np.ndarray) -> np.ndarray:
    """Write an image without loss and return its pixels."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return pixels


def random_pixels(height: int, width: int, channels: int | None = 3, seed: int = 0) -> np.ndarray:
    shape = (height, width) if channels is None else (height, width, channels)
    return np.random.default_rng(seed).integers(0, 256, size=shape, dtype=np.uint8)


def read_images(source: Source) -> np.ndarray:
    return np.array([example["image"] for example in source.preview(100).as_numpy_iterator()])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("cifar10:test", False),
        ("images", True),
        ("missing", True),
        ("images:of/existing", True),
        ("images:of/missing", False),
        ("~/images", True),
        ("~/images:of/existing", True),
        (":", False),
    ],
)
def test_is_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, expected: bool) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    Path("images").mkdir()
    Path("images:of/existing").mkdir(parents=True)
    assert is_directory(text) is expected


def test_a_split_of_a_data_set() -> None:
    source = open_images("images", "fashion_mnist_10k:reference", data_dir="", resolution=8, image_channels=3)
    assert (source.num_examples, source.resolution, source.image_channels) == (2000, 8, 3)
    assert source.digest() == "fashion_mnist_10k/reference"


def test_a_split_in_a_data_directory(tmp_path: Path) -> None:
    build_record_files(tmp_path, split="validation")
    source = open_images("images", "tfrecord:validation", data_dir=str(tmp_path), resolution=16, image_channels=3)
    assert (source.num_examples, source.class_names) == (15, ("class_0", "class_1", "class_2"))


def test_images_of_a_directory_are_resized(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build_class_directories(tmp_path / "animals")
    monkeypatch.setenv("HOME", str(tmp_path))
    source = open_images("images", "~/animals", data_dir="/not/used", resolution=8, image_channels=1)
    assert (source.num_examples, source.class_names) == (12, ("cat", "dog"))
    assert read_images(source).shape == (12, 8, 8, 1)


@pytest.mark.parametrize(
    ("text", "channels", "problem"),
    [
        ("nowhere", 3, "nowhere"),
        ("fashion_mnist_10k:test", 3, "split: .*'test'"),
        ("fashion_mnist_10k:train", 2, "image_channels: .* 2"),
    ],
)
def test_errors_name_the_flag(text: str, channels: int, problem: str) -> None:
    with pytest.raises(UserError, match=f"^reference(={text})?: .*{problem}"):
        open_images("reference", text, data_dir="", resolution=8, image_channels=channels)


def test_square_images_are_not_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = [write_pixels(tmp_path / f"{index}.png", random_pixels(13, 13, seed=index)) for index in range(3)]
    monkeypatch.setenv("HOME", str(tmp_path.parent))
    source = open_square_images(f"~/{tmp_path.name}")
    assert (source.resolution, source.image_channels, source.class_names) == (13, 3, ())
    np.testing.assert_array_equal(read_images(source), expected)


@pytest.mark.parametrize(
    ("channels_of_first", "wanted", "expected"),
    [(None, None, 1), (3, None, 3), (4, None, 3), (None, 3, 3), (3, 1, 1), (None, 4, 4), (4, 4, 4)],
)
def test_channels_are_those_of_the_first_image(
    tmp_path: Path, channels_of_first: int | None, wanted: int | None, expected: int
) -> None:
    write_pixels(tmp_path / "0.png", random_pixels(6, 6, channels_of_first))
    write_pixels(tmp_path / "1.png", random_pixels(6, 6, 3))
    source = open_square_images(str(tmp_path), wanted)
    assert source.image_channels == expected
    assert read_images(source).shape == (2, 6, 6, expected)


@pytest.mark.parametrize("gray", [random_pixels(6, 6, None) > 127, random_pixels(6, 6, None).astype(np.uint16) * 257])
def test_gray_of_any_depth_has_one_channel(tmp_path: Path, gray: np.ndarray) -> None:
    write_pixels(tmp_path / "0.png", gray)
    assert open_square_images(str(tmp_path)).image_channels == 1


def read_error(directory: Path) -> str:
    with pytest.raises(UserError) as caught:
        open_square_images(str(directory))
    assert str(caught.value).startswith("images: ") and "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("sizes", "received"),
    [
        ([(6, 8)], ["8 x 6", "0.png"]),
        ([(6, 6), (8, 8)], ["6 x 6", "0.png", "8 x 8", "1.png"]),
        ([(6, 6), (6, 6), (6, 7)], ["6 x 6", "0.png", "7 x 6", "2.png"]),
    ],
)
def test_rejects_images_of_other_sizes(tmp_path: Path, sizes: list[tuple[int, int]], received: list[str]) -> None:
    for index, size in enumerate(sizes):
        write_pixels(tmp_path / f"{index}.png", random_pixels(*size))
    assert all(part in read_error(tmp_path) for part in received)


@pytest.mark.parametrize("name", ["nowhere", "empty", "file"])
def test_rejects_directories_without_images(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    assert str(tmp_path / name) in read_error(tmp_path / name)
