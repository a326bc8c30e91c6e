"""Attention maps as pictures: where a location looks, laid over the image, and a dot where the location is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw

from sagan_tf.visualization.colors import MARKS, heat_colours
from sagan_tf.visualization.image_grid import sheet

TILE = 160
"""Pixels: smaller pictures are enlarged by a whole factor until they are at least so high."""
_CHOSEN_QUERIES = 5
_PLACES_COUNT = 0.2
"""What the whole width of the picture counts, where maps that have nothing in common count 1."""
_MOST_ROUNDS = 20
_HEAT = 0.65
"""How much of an overlay is heat at its hottest place; the rest is the image."""


class LayerMaps(NamedTuple):
    """Where the locations of one layer look, for one picture.

    Attributes:
        name: of the layer.
        size: height and width of its feature map.
        queries: int32 [n, 2], row and column of each location: a rectangular grid, row by row.
        maps: float32 [n, key_height, key_width], where each of them looks; each sums to 1.
    """

    name: str
    size: tuple[int, int]
    queries: np.ndarray
    maps: np.ndarray


class AttendedPicture(NamedTuple):
    """A picture uint8 [height, width, channels], what to call it, and where each attention layer looks."""

    image: np.ndarray
    name: str
    layers: tuple[LayerMaps, ...]


def attention_sheet(pictures: Sequence[AttendedPicture], places: Sequence[tuple[float, float]] = ()) -> Image.Image:
    """Return a row a picture and layer: the picture with coloured dots, and for each dot where it looks.

    Args:
        pictures: at least one, all with as many layers.
        places: of the dots, row and column as fractions of the picture, at most as many as `MARKS`; none: some that
            `choose_queries` finds.
    """
    rows = [_tiles(one, layer, places) for one in pictures for layer in one.layers]
    columns = max(map(len, rows))
    names = ["picture", *(f"from dot {number}" for number in range(1, columns))]
    tiles = np.stack([tile for row in rows for tile in row])
    return sheet(tiles, columns, row_names=_row_names(pictures), column_names=names, least_tile=1)


def _row_names(pictures: Sequence[AttendedPicture]) -> list[str]:
    return [
        one.name if len(one.layers) == 1 else f"{one.name} {layer.size[0]}x{layer.size[1]}"
        for one in pictures
        for layer in one.layers
    ]


def _tiles(one: AttendedPicture, layer: LayerMaps, places: Sequence[tuple[float, float]]) -> list[np.ndarray]:
    """Return the picture with its dots, and what each of them looks at."""
    factor = max(1, -(-TILE // one.image.shape[0]))
    image = as_rgb(one.image).repeat(factor, axis=0).repeat(factor, axis=1)
    height, width = image.shape[:2]
    if places:
        chosen = [_nearest_query(layer, place) for place in places]
    else:
        chosen = choose_queries(layer.maps, layer.queries, _CHOSEN_QUERIES).tolist()
    dots = [place_on_picture(layer.queries[index], layer.size, (height, width)) for index in chosen]
    radius = max(4.0, height / 32)
    tiles = [with_dots(image, dots, MARKS[: len(dots)], radius)]
    for number, index in enumerate(chosen):
        heat = overlay(image, map_on_picture(layer.maps[index], layer.size, (height, width)))
        tiles.append(with_dots(heat, [dots[number]], [MARKS[number]], radius))
    return tiles


def _nearest_query(layer: LayerMaps, place: tuple[float, float]) -> int:
    centres = (layer.queries + 0.5) / np.array(layer.size)
    return int(np.argmin(np.sum((centres - np.array(place)) ** 2, axis=1)))


def choose_queries(rows: np.ndarray, queries: np.ndarray, count: int) -> np.ndarray:
    """Return some locations that stand for all: their maps differ, and other locations have maps like theirs.

    k-medoids over the maps (Hellinger distance) and, a little, the places, begun with the farthest ones; the same maps
    give the same choice.

    Args:
        rows: [n, key_height, key_width], where each query looks; each sums to 1.
        queries: [n, 2].
        count: how many to choose.

    Returns:
        int [min(count, n)], indices of queries, those that stand for the most first.
    """
    distance = _unlikeness(rows, queries)
    medoids = [int(np.argmin(distance.sum(axis=1)))]
    while len(medoids) < min(count, len(rows)):
        medoids.append(int(np.argmax(distance[medoids].min(axis=0))))
    for _ in range(_MOST_ROUNDS):
        nearest = np.argmin(distance[medoids], axis=0)
        members = [np.flatnonzero(nearest == cluster) for cluster in range(len(medoids))]
        moved = [int(one[np.argmin(distance[np.ix_(one, one)].sum(axis=1))]) for one in members]
        if moved == medoids:
            break
        medoids = moved
    sizes = np.bincount(np.argmin(distance[medoids], axis=0), minlength=len(medoids))
    return np.array(medoids)[np.argsort(-sizes, kind="stable")]


def _unlikeness(rows: np.ndarray, queries: np.ndarray) -> np.ndarray:
    """How unlike each two queries are, float64 [n, n]."""
    roots = np.sqrt(rows.reshape(len(rows), -1).astype(np.float64))
    of_maps = np.sqrt(np.maximum(1.0 - roots @ roots.T, 0.0))
    steps = queries[:, np.newaxis] - queries
    # Where attention is the same everywhere, dots still spread over the picture.
    return of_maps + _PLACES_COUNT * np.linalg.norm(steps, axis=-1) / max(float(np.ptp(queries)), 1.0)


def place_on_picture(
    query: Sequence[int] | np.ndarray, size: tuple[int, int], picture: tuple[int, int]
) -> tuple[float, float]:
    """Return the centre of a location of a feature map on a picture, both of some (height, width).

    Returns:
        Row and column in pixels, where the first pixel's centre is 0.5.
    """
    row, column = ((index + 0.5) * pixels / side for index, pixels, side in zip(query, picture, size, strict=True))
    return row, column


def map_on_picture(attention: np.ndarray, size: tuple[int, int], picture: tuple[int, int]) -> np.ndarray:
    """Return an attention map at the size of the picture, each key over the part of the picture that it is of.

    Args:
        attention: [key_height, key_width].
        size: height and width of the feature map that the layer was given. Pooled keys are of blocks of its locations;
            what is left over at its end, where a side is odd, belongs to no key.
        picture: height and width of the picture.

    Returns:
        float32 [*picture], scaled so that the most is 1, smooth between the keys' centres.
    """
    covered = [round(pixels * part) for pixels, part in zip(picture, covered_part(size, attention.shape), strict=True)]
    heat: np.ndarray = np.zeros(picture, np.float32)
    smooth = Image.fromarray(attention.astype(np.float32)).resize(covered[::-1], Image.Resampling.BILINEAR)
    heat[: covered[0], : covered[1]] = np.asarray(smooth)
    return heat / max(float(heat.max()), 1e-12)


def covered_part(size: tuple[int, int], keys: tuple[int, ...]) -> tuple[float, float]:
    """Which part of each side of the picture keys are of: all, unless an odd side was pooled two by two."""
    down, across = (
        min(1.0, number * (1 if number == side else 2) / side) for side, number in zip(size, keys, strict=True)
    )
    return down, across


def overlay(image: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """Heat over a picture: the hotter, the less of the picture's own colours.

    Args:
        image: uint8 [height, width, channels].
        heat: [height, width] in [0, 1].

    Returns:
        uint8 [height, width, 3].
    """
    grey = np.asarray(Image.fromarray(as_rgb(image)).convert("L"), np.float64)[..., np.newaxis]
    share = _HEAT * np.sqrt(heat)[..., np.newaxis]
    mixed = (1.0 - share) * grey * 0.8 + share * heat_colours(heat)
    return np.clip(np.rint(mixed), 0, 255).astype(np.uint8)


def with_dots(
    image: np.ndarray, places: Sequence[tuple[float, float]], colours: Sequence[tuple[int, int, int]], radius: float
) -> np.ndarray:
    """Draw a dot with a dark and a bright ring at each place (row, column) of an image, uint8 RGB."""
    picture = Image.fromarray(as_rgb(image))
    draw = ImageDraw.Draw(picture)
    for (row, column), colour in zip(places, colours, strict=True):
        for ring, paint in ((radius + 1.5, "black"), (radius + 0.5, "white"), (radius - 0.5, colour)):
            # Pixels are drawn whole, and those of a box have their centres 0.5 into it.
            box = (column - 0.5 - ring, row - 0.5 - ring, column - 0.5 + ring, row - 0.5 + ring)
            draw.ellipse(box, fill=paint)
    return np.asarray(picture)


def as_rgb(image: np.ndarray) -> np.ndarray:
    """Return a picture uint8 [height, width, 1, 3 or 4] as RGB; alpha is left out."""
    return np.repeat(image, 3, axis=-1) if image.shape[-1] == 1 else np.ascontiguousarray(image[..., :3])
