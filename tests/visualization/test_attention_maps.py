"""Tests of images of attention maps."""

from __future__ import annotations

import numpy as np
import pytest

from sagan_tf.visualization.attention_maps import (
    MIN_TILE_HEIGHT_PX,
    ImageAttention,
    LayerAttention,
    choose_representative_queries,
    draw_attention_sheet,
    draw_dots,
    locate_query_on_image,
    overlay_heat,
    resize_map_to_image,
)
from sagan_tf.visualization.colors import MARKER_COLORS, map_to_heat_colors

# Sizes of the feature map, the keys and the image.
SIZES = [
    ((8, 4), (4, 2), (64, 32)),
    ((8, 4), (8, 4), (64, 32)),
    ((4, 8), (2, 4), (48, 96)),
    ((5, 5), (2, 2), (100, 100)),
    ((7, 4), (3, 2), (70, 40)),
    ((16, 16), (8, 8), (32, 32)),
]
every_size = pytest.mark.parametrize(("size", "keys", "image_size"), SIZES)


def one_hot(keys: tuple[int, int], place: tuple[int, int]) -> np.ndarray:
    attention: np.ndarray = np.zeros(keys, np.float32)
    attention[place] = 1.0
    return attention


def block(keys: tuple[int, int], size: tuple[int, int]) -> tuple[int, int]:
    """Return the height and width of the block of feature map locations that a key covers."""
    down, across = (1 if key == side else 2 for key, side in zip(keys, size, strict=True))
    return down, across


@every_size
def test_heat_is_highest_at_the_center_of_the_key(
    size: tuple[int, int], keys: tuple[int, int], image_size: tuple[int, int]
) -> None:
    for key in np.ndindex(keys):
        heat = resize_map_to_image(one_hot(keys, key), size, image_size)
        assert heat.shape == image_size and heat.dtype == np.float32
        assert heat.max() == pytest.approx(1.0) and heat.min() >= 0.0
        for axis in (0, 1):
            per_key = block(keys, size)[axis] * image_size[axis] / size[axis]
            profile = heat.max(axis=1 - axis)
            hottest = np.flatnonzero(profile > 1.0 - 1e-3)
            begin, end = key[axis] * per_key, (key[axis] + 1) * per_key
            assert begin <= hottest.min() and hottest.max() + 1 <= end
            inner = 0 < key[axis] < keys[axis] - 1  # at the border, heat is constant from the center on
            if inner:
                assert abs(hottest.mean() + 0.5 - (begin + end) / 2) <= 0.5
            center = int((begin + end) / 2)
            assert profile[center] > 1.0 - 1.0 / per_key - 1e-3
            # There is no heat at the center of the next key and beyond.
            assert profile[: max(int(begin - per_key / 2), 0)].sum() < 1e-6
            assert profile[int(np.ceil(end + per_key / 2)) :].sum() < 1e-6


def test_areas_without_a_key_have_no_heat() -> None:
    """Pooling 5 x 5 drops the last row and column."""
    heat = resize_map_to_image(np.full((2, 2), 0.25, np.float32), (5, 5), (100, 50))
    assert np.all(heat[:80, :40] == 1.0)
    assert np.all(heat[80:] == 0.0) and np.all(heat[:, 40:] == 0.0)
    assert np.all(resize_map_to_image(np.zeros((2, 2), np.float32), (4, 4), (8, 8)) == 0.0)


@every_size
def test_a_dot_is_in_the_block_of_its_key(
    size: tuple[int, int], keys: tuple[int, int], image_size: tuple[int, int]
) -> None:
    pooled = block(keys, size)
    for query in np.ndindex(size):
        position = locate_query_on_image(query, size, image_size)
        for axis in (0, 1):
            side = image_size[axis] / size[axis]
            assert query[axis] * side < position[axis] < (query[axis] + 1) * side
            key = query[axis] // pooled[axis]
            assert key * pooled[axis] * side < position[axis] < (key + 1) * pooled[axis] * side
    first = (image_size[0] / size[0] / 2, image_size[1] / size[1] / 2)
    assert locate_query_on_image(np.array([0, 0]), size, image_size) == first


def grid(height: int, width: int) -> np.ndarray:
    return np.stack(np.meshgrid(np.arange(height), np.arange(width), indexing="ij"), -1).reshape(-1, 2)


def random_maps(count: int, seed: int = 0) -> np.ndarray:
    maps = np.random.default_rng(seed).exponential(size=(count, 3, 2)) ** 3
    return (maps / maps.sum(axis=(1, 2), keepdims=True)).astype(np.float32)


@pytest.mark.parametrize("count", [1, 2, 5, 24, 30])
def test_chosen_queries_are_distinct_and_deterministic(count: int) -> None:
    maps, queries = random_maps(24), grid(6, 4)
    chosen = choose_representative_queries(maps, queries, count)
    assert len(chosen) == min(count, 24) == len(set(chosen.tolist()))
    assert set(chosen.tolist()) <= set(range(24))
    np.testing.assert_array_equal(chosen, choose_representative_queries(maps.copy(), queries.copy(), count))


def test_chosen_queries_represent_all_kinds_of_maps() -> None:
    """One query of each kind of map is chosen, the most frequent kind first."""
    queries = grid(4, 4)
    kinds = np.random.default_rng(3).permutation([0] * 9 + [1] * 5 + [2] * 2)
    maps: np.ndarray = np.full((16, 4, 1), 0.02, np.float32)
    maps[np.arange(16), kinds] = 0.94
    chosen = choose_representative_queries(maps, queries, 3)
    assert kinds[chosen].tolist() == [0, 1, 2]


def test_the_chosen_query_is_the_medoid() -> None:
    """Among maps that shift from one key to another, the middle map is the most similar to all."""
    share = np.linspace(0.0, 1.0, 9)
    maps = np.stack([share, 1.0 - share], 1).reshape(9, 2, 1).astype(np.float32)
    queries = np.stack([np.zeros(9, int), np.arange(9)], 1)
    assert choose_representative_queries(maps, queries, 1).tolist() == [4]


def test_queries_with_equal_maps_are_spread_over_the_image() -> None:
    maps: np.ndarray = np.full((64, 2, 2), 0.25, np.float32)
    positions = grid(8, 8)[choose_representative_queries(maps, grid(8, 8), 5)]
    distances = np.linalg.norm(positions[:, np.newaxis] - positions, axis=-1) + 99 * np.eye(5)
    assert distances.min() >= 2.0


def test_an_overlay_without_heat_is_gray() -> None:
    image = np.random.default_rng(0).integers(0, 256, (6, 4, 3), np.uint8)
    cold = overlay_heat(image, np.zeros((6, 4), np.float32))
    assert cold.shape == (6, 4, 3) and cold.dtype == np.uint8 and np.all(cold == cold[..., :1])
    np.testing.assert_allclose(cold[..., 0], 0.8 * (image @ [0.299, 0.587, 0.114]), atol=1.0)


def test_an_overlay_with_heat_is_colored() -> None:
    overlay: np.ndarray = overlay_heat(np.full((6, 4, 1), 100, np.uint8), one_hot((6, 4), (2, 3))).astype(int)
    np.testing.assert_allclose(overlay[2, 3], 0.35 * 80 + 0.65 * map_to_heat_colors(np.array(1.0)), atol=1.0)
    overlay[2, 3] = 80
    assert np.all(overlay == 80)


def test_dots() -> None:
    """Dots have their colors, positions and rings; the remaining pixels and the input do not change."""
    image: np.ndarray = np.full((64, 48, 3), 77, np.uint8)
    result = draw_dots(image, [(16.5, 12.5), (48.5, 30.5)], [(255, 0, 0), (0, 0, 255)], radius=5.0)
    assert result[16, 12].tolist() == [255, 0, 0] and result[48, 30].tolist() == [0, 0, 255]
    assert np.all(image == 77)
    rows, columns = np.nonzero(np.any(result != 77, axis=-1) & (np.arange(64) < 32)[:, np.newaxis])
    assert abs((rows.min() + rows.max()) / 2 - 16) <= 0.5 and abs((columns.min() + columns.max()) / 2 - 12) <= 0.5
    assert 9 <= rows.max() - rows.min() <= 14
    along = result[16, 12:20].tolist()
    assert along.index([255, 255, 255]) < along.index([0, 0, 0]) < along.index([77, 77, 77])


def test_a_dot_at_the_border_is_clipped_and_each_dot_needs_a_color() -> None:
    result = draw_dots(np.full((8, 8, 1), 9, np.uint8), [(0.5, 7.5)], [(1, 2, 3)], radius=3.0)
    assert result.shape == (8, 8, 3) and result[0, 7].tolist() == [1, 2, 3]
    with pytest.raises(ValueError, match="zip"):
        draw_dots(np.zeros((8, 8, 3), np.uint8), [(1.0, 1.0)], [], 2.0)


def make_attention(name: str, layers: tuple[tuple[int, int], ...] = ((4, 2),)) -> ImageAttention:
    """Make a gray image of 80 x 40 whose queries all attend to the last key."""
    maps = []
    for size in layers:
        attention: np.ndarray = np.zeros((size[0] * size[1], *size), np.float32)
        attention[:, -1, -1] = 1.0
        maps.append(LayerAttention("a", size, grid(*size).astype(np.int32), attention))
    return ImageAttention(np.full((80, 40, 1), 100, np.uint8), name, tuple(maps))


def get_tile(sheet: np.ndarray, row: int, column: int, rows: int, columns: int) -> np.ndarray:
    """Return a tile of 160 x 80, located from the lower right corner because names are above and to the left."""
    bottom = sheet.shape[0] - 2 - (rows - 1 - row) * (MIN_TILE_HEIGHT_PX + 2)
    right = sheet.shape[1] - 2 - (columns - 1 - column) * (80 + 2)
    return sheet[bottom - MIN_TILE_HEIGHT_PX : bottom, right - 80 : right]


def test_a_sheet_with_given_positions() -> None:
    """The image has all dots, and each map has only its own dot."""
    sheet = np.asarray(
        draw_attention_sheet([make_attention("first"), make_attention("second")], [(0.1, 0.2), (0.6, 0.9)])
    )
    # The centers of queries (0, 0) and (2, 1) of 4 x 2, on 160 x 80.
    positions = [(20, 20), (100, 60)]
    for row in range(2):
        whole, *maps = (get_tile(sheet, row, column, 2, 3) for column in range(3))
        assert [whole[position].tolist() for position in positions] == [list(color) for color in MARKER_COLORS[:2]]
        assert whole[5, 70].tolist() == [100] * 3
        for number, heat in enumerate(maps):
            assert heat[positions[number]].tolist() == list(MARKER_COLORS[number])
            assert heat[positions[1 - number]].tolist() != list(MARKER_COLORS[1 - number])
            assert np.ptp(heat[150, 75]) > 50 and np.ptp(heat[5, 70]) == 0


def test_a_sheet_with_chosen_queries() -> None:
    sheet = np.asarray(draw_attention_sheet([make_attention("first", ((4, 2), (8, 4)))]))
    images = [get_tile(sheet, row, 0, 2, 6) for row in range(2)]
    for image in images:
        assert all(np.any(np.all(image == color, axis=-1)) for color in MARKER_COLORS[:5])
        assert not np.any(np.all(image == MARKER_COLORS[5], axis=-1))
