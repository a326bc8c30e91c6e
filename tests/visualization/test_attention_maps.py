"""Attention maps as pictures: that everything is where it belongs."""

from __future__ import annotations

import numpy as np
import pytest

from sagan_tf.visualization.attention_maps import (
    TILE,
    AttendedPicture,
    LayerMaps,
    as_rgb,
    attention_sheet,
    choose_queries,
    map_on_picture,
    overlay,
    place_on_picture,
    with_dots,
)
from sagan_tf.visualization.colors import MARKS, heat_colours

# Feature map, keys, picture.
SIZES = [
    ((8, 4), (4, 2), (64, 32)),
    ((8, 4), (8, 4), (64, 32)),
    ((4, 8), (2, 4), (48, 96)),
    ((5, 5), (2, 2), (100, 100)),
    ((7, 4), (3, 2), (70, 40)),
    ((16, 16), (8, 8), (32, 32)),
]
every_size = pytest.mark.parametrize(("size", "keys", "picture"), SIZES)


def one_hot(keys: tuple[int, int], place: tuple[int, int]) -> np.ndarray:
    attention = np.zeros(keys, np.float32)
    attention[place] = 1.0
    return attention


def block(keys: tuple[int, int], size: tuple[int, int]) -> tuple[int, int]:
    """How many locations of the feature map a key is of, downwards and to the right."""
    return tuple(1 if key == side else 2 for key, side in zip(keys, size, strict=True))


@every_size
def test_a_key_is_hottest_at_its_centre(size: tuple[int, int], keys: tuple[int, int], picture: tuple[int, int]) -> None:
    for key in np.ndindex(keys):
        heat = map_on_picture(one_hot(keys, key), size, picture)
        assert heat.shape == picture and heat.dtype == np.float32
        assert heat.max() == pytest.approx(1.0) and heat.min() >= 0.0
        for axis in (0, 1):
            per_key = block(keys, size)[axis] * picture[axis] / size[axis]
            profile = heat.max(axis=1 - axis)
            hottest = np.flatnonzero(profile > 1.0 - 1e-3)
            begin, end = key[axis] * per_key, (key[axis] + 1) * per_key
            assert begin <= hottest.min() and hottest.max() + 1 <= end
            inner = 0 < key[axis] < keys[axis] - 1  # at the border, heat is level from the centre on
            if inner:
                assert abs(hottest.mean() + 0.5 - (begin + end) / 2) <= 0.5
            centre = int((begin + end) / 2)
            assert profile[centre] > 1.0 - 1.0 / per_key - 1e-3
            # A key away there is none of it.
            assert profile[: max(int(begin - per_key / 2), 0)].sum() < 1e-6
            assert profile[int(np.ceil(end + per_key / 2)) :].sum() < 1e-6


def test_what_belongs_to_no_key_is_cold() -> None:
    """Pooling 5 x 5 leaves out the last row and column."""
    heat = map_on_picture(np.full((2, 2), 0.25, np.float32), (5, 5), (100, 50))
    assert np.all(heat[:80, :40] == 1.0)
    assert np.all(heat[80:] == 0.0) and np.all(heat[:, 40:] == 0.0)


def test_a_map_of_nothing() -> None:
    assert np.all(map_on_picture(np.zeros((2, 2), np.float32), (4, 4), (8, 8)) == 0.0)


@every_size
def test_a_dot_lies_in_the_block_of_its_key(
    size: tuple[int, int], keys: tuple[int, int], picture: tuple[int, int]
) -> None:
    pooled = block(keys, size)
    for query in np.ndindex(size):
        place = place_on_picture(query, size, picture)
        for axis in (0, 1):
            side = picture[axis] / size[axis]
            assert query[axis] * side < place[axis] < (query[axis] + 1) * side
            key = query[axis] // pooled[axis]
            assert key * pooled[axis] * side < place[axis] < (key + 1) * pooled[axis] * side
    assert place_on_picture(np.array([0, 0]), size, picture) == (picture[0] / size[0] / 2, picture[1] / size[1] / 2)


def grid(height: int, width: int) -> np.ndarray:
    return np.stack(np.meshgrid(np.arange(height), np.arange(width), indexing="ij"), -1).reshape(-1, 2)


def random_maps(count: int, seed: int = 0) -> np.ndarray:
    maps = np.random.default_rng(seed).exponential(size=(count, 3, 2)) ** 3
    return (maps / maps.sum(axis=(1, 2), keepdims=True)).astype(np.float32)


@pytest.mark.parametrize("count", [1, 2, 5, 24, 30])
def test_chosen_queries_are_distinct_and_always_the_same(count: int) -> None:
    maps, queries = random_maps(24), grid(6, 4)
    chosen = choose_queries(maps, queries, count)
    assert len(chosen) == min(count, 24) == len(set(chosen.tolist()))
    assert set(chosen.tolist()) <= set(range(24))
    np.testing.assert_array_equal(chosen, choose_queries(maps.copy(), queries.copy(), count))


def test_chosen_queries_stand_for_the_others() -> None:
    """One of each kind of map, that of the most first; a kind's own is the one that is most like the rest of it."""
    queries = grid(4, 4)
    kinds = np.array([0] * 9 + [1] * 5 + [2] * 2)
    order = np.random.default_rng(3).permutation(16)
    kinds = kinds[order]
    maps = np.full((16, 4, 1), 0.02, np.float32)
    maps[np.arange(16), kinds] = 0.94
    chosen = choose_queries(maps, queries, 3)
    assert kinds[chosen].tolist() == [0, 1, 2]


def test_an_odd_one_out_does_not_stand_for_a_kind() -> None:
    """Of a row of maps that shift from one key to another, the middle one is like all."""
    share = np.linspace(0.0, 1.0, 9)
    maps = np.stack([share, 1.0 - share], 1).reshape(9, 2, 1).astype(np.float32)
    queries = np.stack([np.zeros(9, int), np.arange(9)], 1)
    assert choose_queries(maps, queries, 1).tolist() == [4]


def test_queries_whose_maps_are_alike_still_spread() -> None:
    maps = np.full((64, 2, 2), 0.25, np.float32)
    places = grid(8, 8)[choose_queries(maps, grid(8, 8), 5)]
    distances = np.linalg.norm(places[:, np.newaxis] - places, axis=-1) + 99 * np.eye(5)
    assert distances.min() >= 2.0


def test_an_overlay_is_grey_where_it_is_cold() -> None:
    image = np.random.default_rng(0).integers(0, 256, (6, 4, 3), np.uint8)
    cold = overlay(image, np.zeros((6, 4), np.float32))
    assert cold.shape == (6, 4, 3) and cold.dtype == np.uint8
    assert np.all(cold == cold[..., :1])
    grey = image @ [0.299, 0.587, 0.114]
    np.testing.assert_allclose(cold[..., 0], 0.8 * grey, atol=1.0)


def test_an_overlay_is_coloured_where_it_is_hot() -> None:
    heat = np.zeros((6, 4), np.float32)
    heat[2, 3] = 1.0
    image = np.full((6, 4, 1), 100, np.uint8)
    picture = overlay(image, heat).astype(int)
    np.testing.assert_allclose(picture[2, 3], 0.35 * 80 + 0.65 * heat_colours(np.array(1.0)), atol=1.0)
    picture[2, 3] = 80
    assert np.all(picture == 80)


def test_dots() -> None:
    """Each in its colour, at its place, in a white and a black ring; nothing else changes, nor does the picture."""
    image = np.full((64, 48, 3), 77, np.uint8)
    picture = with_dots(image, [(16.5, 12.5), (48.5, 30.5)], [(255, 0, 0), (0, 0, 255)], radius=5.0)
    assert picture[16, 12].tolist() == [255, 0, 0] and picture[48, 30].tolist() == [0, 0, 255]
    assert np.all(image == 77)
    rows, columns = np.nonzero(np.any(picture != 77, axis=-1) & (np.arange(64) < 32)[:, np.newaxis])
    assert abs((rows.min() + rows.max()) / 2 - 16) <= 0.5 and abs((columns.min() + columns.max()) / 2 - 12) <= 0.5
    assert 9 <= rows.max() - rows.min() <= 14
    along = picture[16, 12:20].tolist()
    assert along.index([255, 255, 255]) < along.index([0, 0, 0]) < along.index([77, 77, 77])


def test_a_dot_at_the_border_is_cut_off() -> None:
    picture = with_dots(np.full((8, 8, 1), 9, np.uint8), [(0.5, 7.5)], [(1, 2, 3)], radius=3.0)
    assert picture.shape == (8, 8, 3) and picture[0, 7].tolist() == [1, 2, 3]


def test_dots_and_colours_belong_together() -> None:
    with pytest.raises(ValueError):
        with_dots(np.zeros((8, 8, 3), np.uint8), [(1.0, 1.0)], [], 2.0)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_any_picture_as_colours(channels: int) -> None:
    image = np.random.default_rng(0).integers(0, 256, (5, 3, channels), np.uint8)
    np.testing.assert_array_equal(as_rgb(image), image[..., [0, 0, 0] if channels == 1 else [0, 1, 2]])


def attended(name: str, layers: tuple[tuple[int, int], ...] = ((4, 2),)) -> AttendedPicture:
    """A grey picture 80 x 40 whose locations all look at the last key."""
    maps = []
    for size in layers:
        attention = np.zeros((size[0] * size[1], *size), np.float32)
        attention[:, -1, -1] = 1.0
        maps.append(LayerMaps("a", size, grid(*size).astype(np.int32), attention))
    return AttendedPicture(np.full((80, 40, 1), 100, np.uint8), name, tuple(maps))


def tile(picture: np.ndarray, row: int, column: int, rows: int, columns: int) -> np.ndarray:
    """A tile of 160 x 80 of a sheet, counted from its lower right corner: names stand above and to the left."""
    bottom = picture.shape[0] - 2 - (rows - 1 - row) * (TILE + 2)
    right = picture.shape[1] - 2 - (columns - 1 - column) * (80 + 2)
    return picture[bottom - TILE : bottom, right - 80 : right]


def test_a_sheet_of_places() -> None:
    """Dots where they were asked for, all in the picture, and each alone on what it looks at."""
    sheet = np.asarray(attention_sheet([attended("one"), attended("two")], [(0.1, 0.2), (0.6, 0.9)]))
    # The centres of locations (0, 0) and (2, 1) of 4 x 2, on 160 x 80.
    places = [(20, 20), (100, 60)]
    for row in range(2):
        whole, *looks = (tile(sheet, row, column, 2, 3) for column in range(3))
        assert [whole[place].tolist() for place in places] == [list(mark) for mark in MARKS[:2]]
        assert whole[5, 70].tolist() == [100] * 3
        for number, look in enumerate(looks):
            assert look[places[number]].tolist() == list(MARKS[number])
            assert look[places[1 - number]].tolist() != list(MARKS[1 - number])
            assert np.ptp(look[150, 75]) > 50 and np.ptp(look[5, 70]) == 0


def test_a_sheet_that_chooses() -> None:
    sheet = np.asarray(attention_sheet([attended("one", ((4, 2), (8, 4)))]))
    whole = [tile(sheet, row, 0, 2, 6) for row in range(2)]
    for one in whole:
        assert all(np.any(np.all(one == mark, axis=-1)) for mark in MARKS[:5])
        assert not np.any(np.all(one == MARKS[5], axis=-1))
