"""Grids of images, pixel by pixel."""

from __future__ import annotations

import pathlib
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sagan_tf.visualization.image_grid import image_grid, save_png

GAP = 2


def flat_images(values: list[float], size: int = 48, channels: int = 3) -> np.ndarray:
    """One image of a single value for each of `values`."""
    return np.stack([np.full((size, size, channels), value, np.float32) for value in values])


@pytest.mark.parametrize(
    ("height", "width", "factor"),
    [(48, 48, 1), (64, 64, 1), (47, 47, 2), (32, 32, 2), (8, 8, 6), (48, 24, 1), (1, 3, 48)],
)
def test_small_images_are_enlarged(height: int, width: int, factor: int) -> None:
    picture = image_grid(np.zeros((6, height, width, 3), np.float32), columns=3)
    assert picture.size == (3 * (width * factor + GAP) + GAP, 2 * (height * factor + GAP) + GAP)


def test_every_pixel_is_in_its_place() -> None:
    images = np.random.default_rng(1).uniform(-1.0, 1.0, size=(6, 24, 25, 3)).astype(np.float32)
    pixels = np.asarray(image_grid(images, columns=3))
    for index in range(6):
        top, left = GAP + (index // 3) * (48 + GAP), GAP + (index % 3) * (50 + GAP)
        tile = pixels[top : top + 48, left : left + 50]
        for row, column in np.ndindex(24, 25):
            square = tile[2 * row : 2 * row + 2, 2 * column : 2 * column + 2].reshape(4, 3).astype(np.float64)
            assert np.abs(square - (images[index, row, column] + 1.0) * 127.5).max() <= 0.5 + 1e-4
    gaps = pixels[[0, 1, 50, 51, 100, 101]]
    assert np.all(gaps == 255) and np.all(pixels[:, [0, 1, 52, 53]] == 255)


@pytest.mark.parametrize(
    ("value", "expected"), [(-1.0, 0), (1.0, 255), (0.0, 128), (-0.5, 64), (-1.5, 0), (1.01, 255), (100.0, 255)]
)
def test_values(value: float, expected: int) -> None:
    assert image_grid(flat_images([value]), columns=1).getpixel((20, 20)) == (expected,) * 3


@pytest.mark.parametrize(("channels", "mode"), [(1, "RGB"), (3, "RGB"), (4, "RGBA")])
def test_channels(channels: int, mode: str) -> None:
    values = np.array([-1.0, 0.2, 1.0, -0.2], np.float32)[:channels]
    picture = image_grid(np.broadcast_to(values, (1, 48, 48, channels)), columns=1)
    assert picture.mode == mode
    expected = {1: (0, 0, 0), 3: (0, 153, 255), 4: (0, 153, 255, 102)}[channels]
    assert picture.getpixel((20, 20)) == expected


def ink(pixels: np.ndarray, row: int) -> int:
    """Dark pixels of the row's height, of 50 pixels a row."""
    return int(np.sum(pixels[row * 50 : (row + 1) * 50].mean(axis=-1) < 100))


def test_names_stand_left_of_their_rows() -> None:
    white = flat_images([1.0] * 6)
    without = image_grid(white, columns=2)
    named = image_grid(white, columns=2, row_names=["", "cat", "a longer name"])
    margin = named.size[0] - without.size[0]
    assert margin > 0 and named.size[1] == without.size[1]
    left, right = np.asarray(named)[:, :margin], np.asarray(named)[:, margin:]
    assert ink(left, 0) == 0 < ink(left, 1) < ink(left, 2)
    np.testing.assert_array_equal(right, np.asarray(without))
    assert np.all(left[:, :2] == 255)  # nothing is cut off


def test_the_margin_fits_the_longest_name() -> None:
    white = flat_images([1.0] * 2)
    widths = [image_grid(white, columns=1, row_names=["a", name]).size[0] for name in ("b", "b" * 10, "b" * 20)]
    assert widths == sorted(set(widths))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"columns": 4}, "`images` must fill rows of 4. Received: 6 images"),
        ({"columns": 3, "row_names": ["a"]}, "`row_names` must have 2 entries. Received: 1"),
    ],
)
def test_bad_arguments(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        image_grid(flat_images([0.0] * 6), **options)


def test_a_saved_picture_is_whole_and_alone(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "new" / "folder" / "grid.png"
    picture = image_grid(flat_images([-1.0, 0.5]), columns=2)
    for _ in range(2):  # the second time over the first
        save_png(picture, path)
    assert [one.name for one in path.parent.iterdir()] == ["grid.png"]
    with Image.open(path) as read:
        assert read.format == "PNG"
        np.testing.assert_array_equal(np.asarray(read), np.asarray(picture))


def test_an_interrupted_save_leaves_the_old_picture(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "grid.png"
    save_png(image_grid(flat_images([0.0]), columns=1), path)
    before = path.read_bytes()

    def half(self: Image.Image, target: pathlib.Path, **_: Any) -> None:
        target.write_bytes(before[:20])
        raise OSError("no space left on device")

    monkeypatch.setattr(Image.Image, "save", half)
    with pytest.raises(OSError, match="no space"):
        save_png(image_grid(flat_images([1.0]), columns=1), path)
    assert path.read_bytes() == before
