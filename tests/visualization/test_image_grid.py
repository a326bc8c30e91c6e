"""Grids of images, pixel by pixel."""

from __future__ import annotations

import pathlib
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sagan_tf.visualization.image_grid import LARGEST_SIDE, LEAST_TILE, fits, image_grid, save_png, sheet

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


def random_pictures(count: int, size: int = 48, channels: int = 3) -> np.ndarray:
    return np.random.default_rng(7).integers(0, 256, (count, size, size, channels), np.uint8)


def test_a_sheet_shows_pixels_as_they_are() -> None:
    images = random_pictures(4)
    pixels = np.asarray(sheet(images, 2))
    for index, image in enumerate(images):
        top, left = GAP + index // 2 * (48 + GAP), GAP + index % 2 * (48 + GAP)
        np.testing.assert_array_equal(pixels[top : top + 48, left : left + 48], image)


def test_names_above_columns_and_below_images_move_nothing_else() -> None:
    white = np.full((4, 48, 48, 3), 255, np.uint8)
    without = sheet(white, 2)
    above = sheet(white, 2, column_names=["", "cat"])
    top = above.size[1] - without.size[1]
    assert top > 0 and above.size[0] == without.size[0]
    pixels = np.asarray(above)
    np.testing.assert_array_equal(pixels[top:], np.asarray(without))
    assert pixels[:top, :51].min() == 255 > 100 > pixels[:top, 51:].min()
    below = np.asarray(sheet(white, 2, captions=["", "dog", "", ""]))
    line = (below.shape[0] - without.size[1]) // 2
    assert line > 0 and below.shape[1] == without.size[0]
    rows, columns = np.nonzero(below.mean(axis=-1) < 100)
    assert rows.min() >= GAP + 48 and rows.max() < GAP + 48 + line and columns.min() >= 52


def test_long_names_are_cut_off_within_their_column() -> None:
    white = np.full((3, 48, 48, 3), 255, np.uint8)
    long = "a name that is much longer than the picture is wide"
    for options in ({"column_names": ["", long, ""]}, {"captions": ["", long, ""]}):
        columns = np.nonzero(np.asarray(sheet(white, 3, **options)).mean(axis=-1) < 128)[1]
        assert columns.min() >= 50 and columns.max() < 102
        assert np.array_equal(sheet(white, 3, **options), sheet(white, 3, **options))


def test_least_tiles() -> None:
    assert sheet(random_pictures(1, 32), 1, least_tile=96).size == (96 + 2 * GAP, 96 + 2 * GAP)
    assert sheet(random_pictures(1, 32), 1, least_tile=97).size == (128 + 2 * GAP, 128 + 2 * GAP)
    assert sheet(random_pictures(1, 32), 1, least_tile=1).size == (32 + 2 * GAP, 32 + 2 * GAP)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"column_names": ["a"]}, "`column_names` must have 3 entries. Received: 1"),
        ({"captions": ["a"] * 5}, "`captions` must have 6 entries. Received: 5"),
    ],
)
def test_names_for_another_number_of_places(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        sheet(random_pictures(6), 3, **options)


@pytest.mark.parametrize(("size", "least"), [(32, LEAST_TILE), (128, LEAST_TILE), (32, 160), (256, 1)])
def test_what_fits_is_not_too_large(size: int, least: int) -> None:
    most = max(count for count in range(1, 500) if fits(count, 1, size, least))
    assert fits(1, most, size, least) and not fits(1, most + 1, size, least) and not fits(most + 1, 1, size, least)
    one = np.zeros((most, size, size, 1), np.uint8)
    names = {"captions": ["a"] * most, "least_tile": least}
    wide = sheet(one, most, row_names=["class 1"], column_names=["b"] * most, **names)
    tall = sheet(one, 1, column_names=["b"], **names)
    assert 0.7 * LARGEST_SIDE < wide.size[0] <= LARGEST_SIDE and 0.7 * LARGEST_SIDE < tall.size[1] <= LARGEST_SIDE
