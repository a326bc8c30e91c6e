"""Tests of grids of images, pixel by pixel."""

from __future__ import annotations

import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sagan_tf.visualization.image_grid import (
    MAX_SIDE_PX,
    MIN_TILE_HEIGHT_PX,
    draw_image_grid,
    draw_image_sheet,
    is_sheet_size_allowed,
    save_png,
)

GAP = 2


def flat_images(values: list[float], size: int = 48, channels: int = 3) -> np.ndarray:
    """Make one image with constant pixels for each value."""
    return np.stack([np.full((size, size, channels), value, np.float32) for value in values])


@pytest.mark.parametrize(
    ("height", "width", "factor"),
    [(48, 48, 1), (64, 64, 1), (47, 47, 2), (32, 32, 2), (8, 8, 6), (48, 24, 1), (1, 3, 48)],
)
def test_small_images_are_enlarged(height: int, width: int, factor: int) -> None:
    grid = draw_image_grid(np.zeros((6, height, width, 3), np.float32), columns=3)
    assert grid.size == (3 * (width * factor + GAP) + GAP, 2 * (height * factor + GAP) + GAP)


def test_every_pixel_is_in_its_position() -> None:
    images = np.random.default_rng(1).uniform(-1.0, 1.0, size=(6, 24, 25, 3)).astype(np.float32)
    pixels = np.asarray(draw_image_grid(images, columns=3))
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
    assert draw_image_grid(flat_images([value]), columns=1).getpixel((20, 20)) == (expected,) * 3


@pytest.mark.parametrize(("channels", "mode"), [(1, "RGB"), (3, "RGB"), (4, "RGBA")])
def test_channels(channels: int, mode: str) -> None:
    values = np.array([-1.0, 0.2, 1.0, -0.2], np.float32)[:channels]
    grid = draw_image_grid(np.broadcast_to(values, (1, 48, 48, channels)), columns=1)
    assert grid.mode == mode
    expected = {1: (0, 0, 0), 3: (0, 153, 255), 4: (0, 153, 255, 102)}[channels]
    assert grid.getpixel((20, 20)) == expected


def count_ink(pixels: np.ndarray, row: int) -> int:
    """Count the dark pixels beside a row of 50 pixels."""
    return int(np.sum(pixels[row * 50 : (row + 1) * 50].mean(axis=-1) < 100))


def test_row_names_are_left_of_their_rows() -> None:
    white = flat_images([1.0] * 6)
    without = draw_image_grid(white, columns=2)
    named = draw_image_grid(white, columns=2, row_names=["", "cat", "a longer name"])
    margin = named.size[0] - without.size[0]
    assert margin > 0 and named.size[1] == without.size[1]
    left, right = np.asarray(named)[:, :margin], np.asarray(named)[:, margin:]
    assert count_ink(left, 0) == 0 < count_ink(left, 1) < count_ink(left, 2)
    np.testing.assert_array_equal(right, np.asarray(without))
    assert np.all(left[:, :2] == 255)  # nothing is cut off


@pytest.mark.parametrize(
    ("draw", "options", "received"),
    [
        (draw_image_grid, {"columns": 4}, "images.* 6"),
        (draw_image_grid, {"columns": 3, "row_names": ["a"]}, "row_names.* 1"),
        (draw_image_sheet, {"columns": 3, "column_names": ["a"]}, "column_names.* 1"),
        (draw_image_sheet, {"columns": 3, "captions": ["a"] * 5}, "captions.* 5"),
    ],
)
def test_bad_arguments(draw: Callable[..., Image.Image], options: dict[str, Any], received: str) -> None:
    with pytest.raises(ValueError, match=received):
        draw(flat_images([0.0] * 6), **options)


def test_a_saved_image_is_complete_and_leaves_no_temporary_file(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "new" / "directory" / "grid.png"
    grid = draw_image_grid(flat_images([-1.0, 0.5]), columns=2)
    for _ in range(2):  # the second save replaces the first
        save_png(grid, path)
    assert [file.name for file in path.parent.iterdir()] == ["grid.png"]
    with Image.open(path) as read:
        assert read.format == "PNG"
        np.testing.assert_array_equal(np.asarray(read), np.asarray(grid))


def test_an_interrupted_save_keeps_the_old_image(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "grid.png"
    save_png(draw_image_grid(flat_images([0.0]), columns=1), path)
    before = path.read_bytes()

    def save_half(self: Image.Image, target: pathlib.Path, **_: Any) -> None:
        target.write_bytes(before[:20])
        raise OSError("no space left on device")

    monkeypatch.setattr(Image.Image, "save", save_half)
    with pytest.raises(OSError, match="no space"):
        save_png(draw_image_grid(flat_images([1.0]), columns=1), path)
    assert path.read_bytes() == before


def random_images(count: int, size: int = 48) -> np.ndarray:
    return np.random.default_rng(7).integers(0, 256, (count, size, size, 3), np.uint8)


def test_column_names_and_captions_only_add_space() -> None:
    white: np.ndarray = np.full((4, 48, 48, 3), 255, np.uint8)
    without = draw_image_sheet(white, 2)
    above = draw_image_sheet(white, 2, column_names=["", "cat"])
    top = above.size[1] - without.size[1]
    assert top > 0 and above.size[0] == without.size[0]
    pixels = np.asarray(above)
    np.testing.assert_array_equal(pixels[top:], np.asarray(without))
    assert pixels[:top, :51].min() == 255 > 100 > pixels[:top, 51:].min()
    below = np.asarray(draw_image_sheet(white, 2, captions=["", "dog", "", ""]))
    line = (below.shape[0] - without.size[1]) // 2
    assert line > 0 and below.shape[1] == without.size[0]
    rows, columns = np.nonzero(below.mean(axis=-1) < 100)
    assert rows.min() >= GAP + 48 and rows.max() < GAP + 48 + line and columns.min() >= 52


@pytest.mark.parametrize("option", ["column_names", "captions"])
def test_long_names_are_shortened_to_their_column(option: str) -> None:
    names: Any = {option: ["", "a name that is much longer than the width of the image", ""]}
    sheet = np.asarray(draw_image_sheet(np.full((3, 48, 48, 3), 255, np.uint8), 3, **names))
    columns = np.nonzero(sheet.mean(axis=-1) < 128)[1]
    assert columns.min() >= 50 and columns.max() < 102


def test_minimum_tile_height() -> None:
    assert draw_image_sheet(random_images(1, 32), 1, min_tile_height=96).size == (96 + 2 * GAP, 96 + 2 * GAP)
    assert draw_image_sheet(random_images(1, 32), 1, min_tile_height=97).size == (128 + 2 * GAP, 128 + 2 * GAP)
    assert draw_image_sheet(random_images(1, 32), 1, min_tile_height=1).size == (32 + 2 * GAP, 32 + 2 * GAP)


@pytest.mark.parametrize(
    ("size", "min_height"), [(32, MIN_TILE_HEIGHT_PX), (128, MIN_TILE_HEIGHT_PX), (32, 160), (256, 1)]
)
def test_the_largest_allowed_sheet_is_within_the_limit(size: int, min_height: int) -> None:
    max_count = max(count for count in range(1, 500) if is_sheet_size_allowed(count, 1, size, min_height))
    assert is_sheet_size_allowed(1, max_count, size, min_height)
    assert not is_sheet_size_allowed(1, max_count + 1, size, min_height)
    assert not is_sheet_size_allowed(max_count + 1, 1, size, min_height)
    images: np.ndarray = np.zeros((max_count, size, size, 1), np.uint8)
    names: Any = {"captions": ["a"] * max_count, "min_tile_height": min_height}
    wide = draw_image_sheet(images, max_count, row_names=["class 1"], column_names=["b"] * max_count, **names)
    tall = draw_image_sheet(images, 1, column_names=["b"], **names)
    assert 0.7 * MAX_SIDE_PX < wide.size[0] <= MAX_SIDE_PX and 0.7 * MAX_SIDE_PX < tall.size[1] <= MAX_SIDE_PX
